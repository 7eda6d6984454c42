//! The server under test: a child process, driven through its command line and its API.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::plain;

/// The bearer token that the server is started with.
pub const ADMIN_KEY: &str = "bench-admin-key-that-guards-nothing-of-value";

/// How often `/readyz` is asked while the server starts. A start is measured to this grain.
const READY_POLL: Duration = Duration::from_millis(2);

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The binary.
    pub program: PathBuf,
    /// Its subcommand: `serve`, or a stand-in's name.
    pub subcommand: String,
    pub address: SocketAddr,
    pub data: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Settings, as `POSTHASTE__SECTION__NAME` and value.
    pub settings: Vec<(String, String)>,
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Server {
    /// Starts the process and returns at once.
    pub fn start(launch: &Launch) -> anyhow::Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&launch.log)?;
        let child = Command::new(&launch.program)
            .arg(&launch.subcommand)
            .args(["--listen", &launch.address.to_string()])
            .arg("--data")
            .arg(&launch.data)
            .arg("--allow-private")
            .env("POSTHASTE_ADMIN_KEY", ADMIN_KEY)
            .envs(launch.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(File::try_clone(&log)?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.program.display()))?;
        Ok(Self {
            child,
            address: launch.address,
            started: Instant::now(),
        })
    }

    /// Waits until `/readyz` answers 200; returns the time since the start of the process.
    pub fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<Duration> {
        loop {
            if is_ready(self.address) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it was ready");
            }
            ensure!(
                self.started.elapsed() < limit,
                "the server was not ready in {limit:?}"
            );
            thread::sleep(READY_POLL);
        }
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the process with SIGKILL and reaps it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end by SIGTERM; returns how it ended and how long that took.
    pub fn terminate(mut self, limit: Duration) -> anyhow::Result<(ExitStatus, Duration)> {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        while asked.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, asked.elapsed()));
            }
            thread::sleep(READY_POLL);
        }
        bail!("the server did not end within {limit:?} after SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Says whether `/readyz` answers 200 right now.
pub fn is_ready(address: SocketAddr) -> bool {
    plain::get(address, "/readyz").is_ok_and(|answer| answer.status == 200)
}

/// Finds a loopback address whose port is free at the moment.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Creates an application; returns its id.
pub fn create_application(address: SocketAddr, name: &str) -> anyhow::Result<String> {
    created(address, "/api/v1/app", &json!({ "name": name }))
}

/// Creates an endpoint from its wire form (`{"url": …}`); returns its id.
pub fn create_endpoint(
    address: SocketAddr,
    application: &str,
    endpoint: &Value,
) -> anyhow::Result<String> {
    created(
        address,
        &format!("/api/v1/app/{application}/endpoint"),
        endpoint,
    )
}

/// Creates a source, and returns the path that a provider posts to.
pub fn create_source(
    address: SocketAddr,
    application: &str,
    source: &Value,
) -> anyhow::Result<String> {
    let made = made(
        address,
        &format!("/api/v1/app/{application}/source"),
        source,
    )?;
    let url = made["url"].as_str().unwrap_or_default();
    let path = url.find("/in/").map(|start| url[start..].to_owned());
    path.context("a source without a URL")
}

fn created(address: SocketAddr, path: &str, body: &Value) -> anyhow::Result<String> {
    let made = made(address, path, body)?;
    let id = made["id"].as_str().context("an answer without an id")?;
    Ok(id.to_owned())
}

fn made(address: SocketAddr, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = plain::post(address, path, ADMIN_KEY, &body.to_string())?;
    ensure!(
        answer.status == 201,
        "POST {path} answered {}: {}",
        answer.status,
        answer.body
    );
    Ok(serde_json::from_str(&answer.body)?)
}
