//! Installs the official clients and verifiers that the program is tested against.
//!
//! Their versions are pinned in `tests/clients`; they are installed below `target/clients`, and
//! again only when the pins have changed. What an earlier, interrupted installation left does not
//! count: the stamp is written last.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process::{cargo, program, root, target};

/// Where the tests find the installed clients.
pub(crate) struct Clients {
    /// A Python whose modules include `svix` and `standardwebhooks`.
    pub(crate) python: PathBuf,
    /// A `node_modules` folder with `svix` and `standardwebhooks`.
    pub(crate) node_modules: PathBuf,
    /// A program that calls everything with the Rust client.
    pub(crate) rust: PathBuf,
}

/// Installs whatever is missing.
pub(crate) fn install() -> Result<Clients> {
    system_packages()?;
    let pins = root().join("tests").join("clients");
    let home = target().join("clients");
    Ok(Clients {
        python: python(&pins, &home.join("python"))?,
        node_modules: node(&pins, &home.join("node"))?,
        rust: rust(&pins.join("rust"), &home.join("rust"))?,
    })
}

/// Makes sure that Python with `venv`, Node, npm, Go and strace are there; on Debian they can be
/// installed.
fn system_packages() -> Result<()> {
    let needed = [
        (
            "python3-venv",
            program("python3").args(["-c", "import venv, ensurepip"]),
        ),
        ("nodejs", program("node").args(["--version"])),
        ("npm", program("npm").args(["--version"])),
        // Compiles an example of the documentation.
        ("golang-go", program("go").args(["version"])),
        // Lets the tests have a network of their own.
        ("iproute2", program("ip").args(["-V"])),
        // Lets the tests make a disk's sync fail.
        ("strace", program("strace").args(["--version"])),
    ];
    let missing: Vec<&str> = needed
        .into_iter()
        .filter_map(|(name, probe)| (!probe.works()).then_some(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = || program("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    let hint = || format!("the tests need {}: please install", missing.join(", "));
    apt().args(["update", "-qq"]).run().with_context(hint)?;
    let args = ["install", "-y", "-qq", "--no-install-recommends"];
    apt().args(args).args(&missing).run().with_context(hint)
}

fn python(pins: &Path, home: &Path) -> Result<PathBuf> {
    let python = home.join("bin").join("python");
    let requirements = pins.join("requirements.txt");
    let stamp = Stamp::of(home, &[&requirements])?;
    if stamp.is_current() && program(&python).args(["-c", "import svix"]).works() {
        return Ok(python);
    }
    stamp.remove()?;
    program("python3")
        .args(["-m", "venv", "--clear"])
        .args([home])
        .run()?;
    program(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ])
        .args(["--requirement"])
        .args([&requirements])
        .run()?;
    stamp.write()?;
    Ok(python)
}

fn node(pins: &Path, home: &Path) -> Result<PathBuf> {
    let modules = home.join("node_modules");
    let files = [pins.join("package.json"), pins.join("package-lock.json")];
    let stamp = Stamp::of(home, &[&files[0], &files[1]])?;
    if stamp.is_current() && modules.join("svix").is_dir() {
        return Ok(modules);
    }
    stamp.remove()?;
    fs::create_dir_all(home)?;
    for file in &files {
        fs::copy(
            file,
            home.join(file.file_name().expect("it is a file's path")),
        )?;
    }
    program("npm")
        .args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ])
        .within(home)
        .run()?;
    ensure!(
        modules.join("svix").is_dir(),
        "npm left no {}",
        modules.display()
    );
    stamp.write()?;
    Ok(modules)
}

/// Builds the project of the Rust client, which is none of the workspace's.
fn rust(project: &Path, home: &Path) -> Result<PathBuf> {
    cargo(&["build", "--quiet", "--locked"])
        .within(project)
        .env("CARGO_TARGET_DIR", home)
        .run()?;
    Ok(home.join("debug").join("posthaste-test-client"))
}

/// What was installed last, kept beside it: the pinning files, word for word.
struct Stamp {
    path: PathBuf,
    wanted: String,
}

impl Stamp {
    fn of(home: &Path, pins: &[&Path]) -> Result<Self> {
        let mut wanted = String::new();
        for pin in pins {
            wanted += &fs::read_to_string(pin).with_context(|| pin.display().to_string())?;
        }
        Ok(Self {
            path: home.join("installed.stamp"),
            wanted,
        })
    }

    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.wanted)
    }

    /// From here to `write` nothing is installed, however that ends.
    fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.path, &self.wanted).context("could not write the stamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_pin_makes_the_stamp_stale() {
        let home = std::env::temp_dir().join(format!("posthaste-stamp-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let pin = home.join("pin");
        fs::write(&pin, "svix==1").unwrap();
        let stamp = Stamp::of(&home, &[&pin]).unwrap();
        let before = stamp.is_current();
        stamp.write().unwrap();

        let unchanged = Stamp::of(&home, &[&pin]).unwrap().is_current();
        fs::write(&pin, "svix==2").unwrap();
        let changed = Stamp::of(&home, &[&pin]).unwrap().is_current();

        fs::remove_dir_all(&home).unwrap();
        assert_eq!((before, unchanged, changed), (false, true, false));
    }
}
