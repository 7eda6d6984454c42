//! `posthaste serve` as a child process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::api::Api;
use crate::external::variable;
use crate::wait::{LOOK_EVERY, eventually, eventually_some};

/// The admin key that servers are started with, unless the launch says otherwise.
pub const ADMIN_KEY: &str = "ph_a-key-of-tests-that-guards-nothing-of-value";

/// How long a start may take on a busy machine. What it takes at rest is another test's business.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// What the server says on its standard output once it listens.
const LISTENS: &str = "posthaste listens on http://";

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    settings: Vec<(String, String)>,
    admin_key: Option<String>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    allow_private: bool,
    data: Option<PathBuf>,
}

impl Launch {
    /// A server of the program that `cargo xtask test` has built as it ships, or else of `built`.
    pub fn new(built: &str) -> Self {
        Self {
            program: variable("POSTHASTE_BIN").unwrap_or_else(|| PathBuf::from(built)),
            settings: Vec::new(),
            admin_key: Some(ADMIN_KEY.to_owned()),
            flags: Vec::new(),
            variables: Vec::new(),
            allow_private: true,
            data: None,
        }
    }

    /// The program's file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Gives a setting by its variable's name, without `POSTHASTE__`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let name = format!("POSTHASTE__{name}");
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Gives the waits before each attempt, such as `0s,1s`.
    #[must_use]
    pub fn retries(self, schedule: &str) -> Self {
        self.set("DELIVERY__RETRY_SCHEDULE", schedule)
    }

    /// Adds a flag of `serve`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Gives a variable of the environment, by its whole name.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps to the addresses that are allowed by default, which a receiver on loopback is not.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.allow_private = false;
        self
    }

    /// Starts with this first admin key; without one, the server generates it.
    #[must_use]
    pub fn admin_key(mut self, key: Option<&str>) -> Self {
        self.admin_key = key.map(str::to_owned);
        self
    }

    /// Uses this data directory instead of a temporary one.
    #[must_use]
    pub fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// The program with a subcommand and nothing of this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Starts it on a data directory under `strace`, which kills it at a system call, such as
    /// `pwrite64:when=7`: the seventh of a thread. Says whether it came to that within `limit`.
    pub async fn is_killed_at(&self, data: &Path, call: &str, limit: Duration) -> bool {
        let own = self.command(&["serve", "--listen", "127.0.0.1:0", "--allow-private"]);
        let (name, nth) = call.split_once(':').expect("a call and which one");
        let child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={name}")])
            .args(["-e", &format!("inject={name}:signal=SIGKILL:{nth}")])
            .arg(own.get_program())
            .args(own.get_args())
            .arg("--data")
            .arg(data)
            .env_clear()
            .envs(
                own.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut traced = Traced(child.expect("strace is installed"));
        let killed = async {
            while matches!(traced.0.try_wait(), Ok(None)) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(limit, killed).await.is_ok()
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> TestServer {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = self.data.clone();
        let data = data.unwrap_or_else(|| scratch.path().join("data"));
        let token = self.admin_key.clone().unwrap_or_default();
        let mut server = TestServer {
            launch: self,
            scratch,
            data,
            runs: 0,
            child: None,
            api: Api {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                token,
            },
        };
        server.start_again().await;
        server
    }
}

/// `strace` and what it runs; both end when this is dropped.
struct Traced(Child);

impl Drop for Traced {
    fn drop(&mut self) {
        // What it runs first: strace alone would only let go of it.
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        for pid in fs::read_to_string(children)
            .unwrap_or_default()
            .split_whitespace()
        {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server, with its data and its logs. Dropping it kills it.
pub struct TestServer {
    launch: Launch,
    scratch: TempDir,
    data: PathBuf,
    runs: u32,
    child: Option<Child>,
    /// The way to speak to it.
    pub api: Api,
}

impl TestServer {
    /// The program's file.
    pub fn program(&self) -> &Path {
        &self.launch.program
    }

    /// Starts it on the data that it has, and waits until it is ready; returns how long that took.
    pub async fn start_again(&mut self) -> Duration {
        let began = Instant::now();
        self.spawn();
        let address = eventually_some("the server listens", READY_WITHIN, async || {
            self.assert_alive();
            listening(&self.stdout())
        });
        self.api.address = address.await;
        eventually("the server is ready", READY_WITHIN, async || {
            self.is_ready().await
        })
        .await;
        began.elapsed()
    }

    /// Starts the process and waits for nothing.
    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.runs += 1;
        let log = |name| File::create(self.log(name)).expect("a log");
        let mut command = self.launch.command(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .arg("--data")
            .arg(&self.data)
            .args(self.launch.allow_private.then_some("--allow-private"))
            .args(&self.launch.flags)
            .stdout(log("stdout"))
            .stderr(log("stderr"));
        if let Some(key) = &self.launch.admin_key {
            command.env("POSTHASTE_ADMIN_KEY", key);
        }
        self.child = Some(command.spawn().expect("the program starts"));
    }

    fn assert_alive(&self) {
        assert!(
            self.has_process(),
            "the server ended at its start:\n{}",
            self.stderr()
        );
    }

    fn has_process(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        // After the name in brackets comes the state; a zombie has ended and was not yet reaped.
        stat.is_ok_and(|stat| !stat.contains(") Z"))
    }

    fn log(&self, name: &str) -> PathBuf {
        let name = format!("{name}.{}.log", self.runs);
        self.scratch.path().join(name)
    }

    /// Says whether `/readyz` answers 200 right now.
    pub async fn is_ready(&self) -> bool {
        let answer = self.api.call(Method::GET, "/readyz", [].as_slice().into());
        answer.await.is_ok_and(|answer| answer.status == 200)
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The directory of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder that goes with the server, for whatever a test has to put somewhere.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// What it wrote to its standard output since its last start.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.log("stdout")).unwrap_or_default()
    }

    /// What it logged since its last start.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.log("stderr")).unwrap_or_default()
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|count| count.trim().parse().ok())
            .expect("a process that runs has a size");
        kibibytes * 1024
    }

    /// Kills it, without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails when it has ended already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end by SIGTERM; returns how it ended and how long that took.
    pub async fn terminate(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("it is our child");
        let status = self.ended(limit).await;
        (status, asked.elapsed())
    }

    /// Waits for it to end by itself; returns how it ended.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let status = eventually_some("the server ends", limit, async || {
            child.try_wait().expect("it is our child")
        })
        .await;
        self.child = None;
        status
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() && self.runs > 0 {
            let log = self.stderr();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            show(&format!("the server's last words:\n{}", lines.join("\n")));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "shown with a test that fails, captured with one that passes"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

fn listening(stdout: &str) -> Option<SocketAddr> {
    let (_, rest) = stdout.split_once(LISTENS)?;
    let (address, _) = rest.split_once('\n')?;
    address.parse().ok()
}

/// Runs a command to its end without holding up the test's own receiver.
pub async fn finish(mut command: Command) -> Output {
    let shown = format!("{command:?}");
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("waiting does not panic")
        .unwrap_or_else(|error| panic!("{shown}: {error}"))
}
