//! A child process that takes its job from stdin and reports on stdout, one JSON value per line.
//!
//! Parts run in processes of their own so that the CPU time of each can be told apart.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A child of this same binary. Dropping it kills it.
#[derive(Debug)]
pub struct Role {
    child: Child,
    commands: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Role {
    /// Starts this binary with `name` as its only argument.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().expect("stdin was asked for");
        let reports = BufReader::new(child.stdout.take().expect("stdout was asked for"));
        Ok(Self {
            child,
            commands,
            reports,
        })
    }

    /// Sends a command.
    pub fn tell(&mut self, command: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line)?;
        Ok(())
    }

    /// Waits for the next report.
    pub fn hear<R: DeserializeOwned>(&mut self) -> anyhow::Result<R> {
        let mut line = String::new();
        ensure!(
            self.reports.read_line(&mut line)? > 0,
            "a child process ended early"
        );
        serde_json::from_str(&line).with_context(|| format!("a report of another shape: {line}"))
    }

    /// Sends a command and waits for its report.
    pub fn ask<R: DeserializeOwned>(&mut self, command: &impl Serialize) -> anyhow::Result<R> {
        self.tell(command)?;
        self.hear()
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
