//! `config.toml`: read with care, written for nobody else to read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

const NAME: &str = "config.toml";
/// The most bytes of a file.
const LEN_MAX: u64 = 64 * 1024;

/// A file of profiles. No file is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The profile that is used where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) profile: BTreeMap<String, Profile>,
}

/// One profile.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<String>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Profile")
            .field("url", &self.url)
            .field("token", &token)
            .field("app", &self.app)
            .finish()
    }
}

impl File {
    /// Reads the file of a directory. One with a token that others can read is refused.
    pub(crate) fn read(directory: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = directory.map(|directory| directory.join(NAME)) else {
            return Ok(Self::default());
        };
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let opened = match fs::File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let private = is_private(&opened).map_err(|error| wrong(error.to_string()))?;
        let mut text = String::new();
        let read = opened.take(LEN_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > LEN_MAX {
            return Err(wrong(format!("is longer than {LEN_MAX} bytes")));
        }
        // Only where and what: the line itself may hold the token.
        let file: Self = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].lines().count());
            wrong(format!("{} near line {}", error.message(), line.max(1)))
        })?;
        let has_token = file.profile.values().any(|profile| profile.token.is_some());
        if has_token && !private {
            return Err(wrong("others can read the token in it".to_owned())
                .with_hint("`chmod 600` makes it yours; then make a new key"));
        }
        Ok(file)
    }

    /// Replaces the file of a directory, readable by its owner only.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf, Failure> {
        let failed = |error: std::io::Error| {
            let shown = directory.display();
            Failure::new(Exit::Failure, format!("cannot write to {shown}: {error}"))
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let text = toml::to_string(self).expect("texts in tables can be written");
        let path = directory.join(NAME);
        // Made anew and moved into place: no moment in which it is half written or readable.
        let fresh = directory.join(format!(".{NAME}.{}", std::process::id()));
        let written = create_private(&fresh)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&fresh, &path));
        if written.is_err() {
            let _ = fs::remove_file(&fresh); // What failed before is what is told.
        }
        written.map_err(failed)?;
        Ok(path)
    }
}

#[cfg(unix)]
fn is_private(file: &fs::File) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let others = file.metadata()?.permissions().mode() & 0o077;
    Ok(others == 0)
}

#[cfg(not(unix))]
fn is_private(_: &fs::File) -> std::io::Result<bool> {
    Ok(true)
}

fn create_private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
