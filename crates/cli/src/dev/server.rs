//! The server of the demonstration: this binary again, as a child that can be killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::client::{Call, Client};
use crate::exit::{Exit, Failure};
use crate::profile::Target;
use crate::world;

/// How long the server may take to get ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Short waits, so that a recovery shows within seconds.
const SCHEDULE: &str = "0s,1s,2s,5s,30s,5m";

/// A server process; killed when this is dropped.
pub(super) struct Child {
    listen: String,
    data: PathBuf,
    /// The directory was made for this demonstration and goes with it.
    temporary: bool,
    token: String,
    process: Option<std::process::Child>,
}

impl Child {
    pub(super) fn new(
        listen: String,
        data: Option<PathBuf>,
        token: String,
    ) -> Result<Self, Failure> {
        let temporary = data.is_none();
        let data = data.unwrap_or_else(|| {
            let name = u32::from_le_bytes(world::random::<4>());
            std::env::temp_dir().join(format!("posthaste-dev-{name:08x}"))
        });
        std::fs::create_dir_all(&data)
            .map_err(|error| failed(&format!("could not create {}: {error}", data.display())))?;
        Ok(Self {
            listen,
            data,
            temporary,
            token,
            process: None,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    /// Starts the process and returns how long it took to get ready.
    pub(super) async fn start(&mut self) -> Result<Duration, Failure> {
        let began = tokio::time::Instant::now();
        let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.map_err(|error| failed(&format!("could not write a log: {error}")))?;
        let process = Command::new(program)
            .args([
                "serve",
                "--allow-private",
                "--listen",
                &self.listen,
                "--data",
            ])
            .arg(&self.data)
            .env("POSTHASTE_ADMIN_KEY", &self.token)
            .env("POSTHASTE__DELIVERY__RETRY_SCHEDULE", SCHEDULE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| failed(&format!("could not start the server: {error}")))?;
        self.process = Some(process);
        self.wait_until_ready(began).await
    }

    async fn wait_until_ready(&mut self, began: tokio::time::Instant) -> Result<Duration, Failure> {
        let server = Target {
            profile: String::new(),
            app: None,
            url: self.url(),
            token: None,
        };
        let client = Client::new(&server)?.once();
        while began.elapsed() < READY_WITHIN {
            let process = self.process.as_mut().expect("it was just started");
            if let Ok(Some(status)) = process.try_wait() {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                return Err(failed(&format!("the server ended with {status}: {last}")));
            }
            let answer = client.call(Call::get("/readyz")).await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(failed("the server did not get ready within 10 s"))
    }

    /// Kills the process, without a chance to tidy up.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process
                .kill()
                .and_then(|()| process.wait())
                .map_err(|e| failed(&e.to_string()))?;
        }
        Ok(())
    }

    /// Ends the process and removes what was temporary.
    pub(super) fn stop(mut self) {
        let _ = self.kill();
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn failed(message: &str) -> Failure {
    Failure::new(Exit::Failure, message.to_owned())
}
