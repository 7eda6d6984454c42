//! Starting other programs, with the command line shown first.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout: the parent of this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    #[allow(
        clippy::disallowed_methods,
        reason = "cargo's own setting, read where cargo reads it"
    )]
    let chosen = std::env::var("CARGO_TARGET_DIR");
    chosen.map_or_else(|_| root().join("target"), PathBuf::from)
}

/// A program to run at the root of the checkout.
pub(crate) struct Process {
    command: Command,
}

/// A cargo command: the same cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Process {
    #[allow(
        clippy::disallowed_methods,
        reason = "cargo's own setting, meant for its subcommands"
    )]
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program(cargo).args(args)
}

/// Any program, found as the shell would find it.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Process {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    Process { command }
}

impl Process {
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end; a failure is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let shown = self.announce();
        let status = self
            .command
            .status()
            .with_context(|| format!("could not start {shown}"))?;
        if !status.success() {
            bail!("{shown}: {status}");
        }
        Ok(())
    }

    /// Runs it, hands each line of its standard output to `look` and passes it on. Whether it
    /// succeeded.
    pub(crate) fn watch(mut self, mut look: impl FnMut(&str)) -> Result<bool> {
        let shown = self.announce();
        self.command.stdout(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("could not start {shown}"))?;
        let lines = child.stdout.take().expect("its standard output is piped");
        let mut out = std::io::stdout().lock();
        for line in BufReader::new(lines).split(b'\n') {
            let line = line?;
            look(&String::from_utf8_lossy(&line));
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        Ok(child.wait()?.success())
    }

    /// Its standard output.
    pub(crate) fn read(mut self) -> Result<Vec<u8>> {
        let shown = self.shown();
        self.command.stderr(Stdio::inherit());
        let output = self
            .command
            .output()
            .with_context(|| format!("could not start {shown}"))?;
        if !output.status.success() {
            bail!("{shown}: {}", output.status);
        }
        Ok(output.stdout)
    }

    /// Whether it can be started and succeeds; its output is nobody's business.
    pub(crate) fn works(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    fn announce(&self) -> String {
        let shown = self.shown();
        println!("$ {shown}");
        shown
    }

    fn shown(&self) -> String {
        let name = Path::new(self.command.get_program());
        let name = name
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let args = self
            .command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned());
        std::iter::once(name)
            .chain(args)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
