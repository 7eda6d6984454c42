//! The data directory: the database, the key that seals its secrets, and one owner at a time.
//!
//! ```text
//! posthaste.db      the database (and its -wal and -shm beside it)
//! master.key        seals the endpoints' secrets; who loses it loses every secret
//! lock              held by the process that has the directory open
//! running           present while a process runs: after an unclean end it is still there
//! crashes, in-hand  after an unclean end: what the last runs had in hand
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use vault::{MasterKey, Vault};

use crate::config::Secrets;
use crate::crash_loop;

const DATABASE: &str = "posthaste.db";
const KEY: &str = "master.key";
const LOCK: &str = "lock";
const RUNNING: &str = "running";

/// A data directory that this process owns.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held until the process ends.
    _lock: File,
    /// The last owner ended without saying so.
    pub(crate) unclean: bool,
}

impl DataDir {
    /// Creates the directory when there is none, and becomes its owner.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("could not create the data directory {}", path.display()))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .with_context(|| format!("could not open the lock in {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another posthaste has {} open; stop it, or give another --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).context(format!("could not lock {}", path.display()));
            }
        }
        let running = path.join(RUNNING);
        let unclean = running.exists();
        File::create(&running).context("could not write to the data directory")?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            unclean,
        })
    }

    /// Returns the directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Notes that the process ends in order.
    pub(crate) fn close(&self) {
        crash_loop::forget(&self.path);
        let _ = std::fs::remove_file(self.path.join(RUNNING));
    }

    /// Returns the vault: with the key of the settings, or with the one beside the data, which is
    /// generated when there is no database yet.
    pub(crate) fn vault(&self, secrets: &Secrets, random: [u8; 32]) -> anyhow::Result<Vault> {
        let earlier = secrets
            .earlier_keys
            .0
            .iter()
            .map(|key| parse_key(&key.0, "secrets.earlier_keys"))
            .collect::<anyhow::Result<_>>()?;
        let current = match (&secrets.master_key, &secrets.master_key_file) {
            (Some(key), _) => parse_key(&key.0, "secrets.master_key")?,
            (None, Some(path)) => read_key(path)?,
            (None, None) => self.own_key(random)?,
        };
        Ok(Vault::new(current, earlier))
    }

    fn own_key(&self, random: [u8; 32]) -> anyhow::Result<MasterKey> {
        let path = self.path.join(KEY);
        if path.exists() {
            return read_key(&path);
        }
        if self.database().exists() {
            bail!(
                "{} is missing, and the database's secrets cannot be read without it: put it back, \
                 or give the key as secrets.master_key",
                path.display()
            );
        }
        let key = MasterKey::from_random(random);
        write_private(&path, key.to_text().as_bytes())?;
        Ok(key)
    }
}

fn parse_key(text: &str, what: &str) -> anyhow::Result<MasterKey> {
    // The error must not repeat the text: it may be most of a key.
    MasterKey::parse(text.trim()).map_err(|error| anyhow::anyhow!("{what}: {error}"))
}

fn read_key(path: &Path) -> anyhow::Result<MasterKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the master key {}", path.display()))?;
    parse_key(&text, &path.display().to_string())
}

/// Writes a new file that only its owner may read, and makes it durable.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not create {}", path.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .context("could not write the key")?;
    if let Some(folder) = path.parent() {
        // The name itself is durable only once the directory is; a bare name lies in this one.
        let is_here = folder.as_os_str().is_empty();
        let folder = if is_here { Path::new(".") } else { folder };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .context("could not sync")?;
    }
    Ok(())
}

/// Where the key of a backup lies.
fn key_beside(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Copies a data directory, which may be in use, to `to` and its key to `to.key`; says
/// whether there was a key to copy.
pub(crate) fn backup(data: &Path, to: &Path) -> anyhow::Result<bool> {
    let database = data.join(DATABASE);
    if !database.exists() {
        bail!("there is no database in {}", data.display());
    }
    if to.exists() {
        bail!("{} exists; a backup never overwrites", to.display());
    }
    store_sqlite::backup(&database, to).context("could not copy the database")?;
    let key = data.join(KEY);
    let has_key = key.exists();
    if has_key {
        let bytes = std::fs::read(&key).context("could not read the master key")?;
        write_private(&key_beside(to), &bytes)?;
    }
    Ok(has_key)
}

/// Puts a backup into an empty data directory.
pub(crate) fn restore(from: &Path, data: &Path) -> anyhow::Result<()> {
    if !from.exists() {
        bail!("there is no {}", from.display());
    }
    let owned = DataDir::open(data)?;
    let restored = restore_into(&owned, from, data);
    owned.close();
    restored
}

fn restore_into(owned: &DataDir, from: &Path, data: &Path) -> anyhow::Result<()> {
    if owned.database().exists() {
        bail!(
            "{} has a database already; restore into an empty directory",
            data.display()
        );
    }
    let key = key_beside(from);
    if key.exists() {
        let bytes = std::fs::read(&key).context("could not read the backup's key")?;
        write_private(&data.join(KEY), &bytes)?;
    }
    let partial = data.join("posthaste.db.partial");
    std::fs::copy(from, &partial).context("could not copy the database")?;
    File::open(&partial)
        .and_then(|file| file.sync_all())
        .context("could not sync")?;
    std::fs::rename(&partial, owned.database()).context("could not put the database in place")?;
    File::open(data)
        .and_then(|folder| folder.sync_all())
        .context("could not sync")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = folder();
        let data = DataDir::open(folder.path()).expect("opened");

        data.vault(&Secrets::default(), [7; 32]).expect("a vault");
        let first = std::fs::read(folder.path().join(KEY)).expect("a key");
        data.vault(&Secrets::default(), [8; 32]).expect("a vault");

        assert_eq!(
            std::fs::read(folder.path().join(KEY)).expect("a key"),
            first
        );
        let mode = std::fs::metadata(folder.path().join(KEY))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_database_without_its_key_is_refused_instead_of_given_a_new_one() {
        let folder = folder();
        let data = DataDir::open(folder.path()).expect("opened");
        std::fs::write(data.database(), b"").expect("written");

        let error = data
            .vault(&Secrets::default(), [7; 32])
            .expect_err("refused")
            .to_string();

        assert!(error.contains("master.key is missing"), "{error}");
        assert!(!folder.path().join(KEY).exists());
    }

    #[test]
    fn one_directory_has_one_owner() {
        let folder = folder();
        let _first = DataDir::open(folder.path()).expect("opened");

        let error = DataDir::open(folder.path())
            .err()
            .expect("refused")
            .to_string();

        assert!(error.contains("another posthaste"), "{error}");
    }

    #[test]
    fn an_end_without_closing_is_noticed_at_the_next_start() {
        let folder = folder();
        let first = DataDir::open(folder.path()).expect("opened");
        assert!(!first.unclean);
        drop(first);

        let second = DataDir::open(folder.path()).expect("opened");
        assert!(second.unclean);
        second.close();
        drop(second);

        assert!(!DataDir::open(folder.path()).expect("opened").unclean);
    }
}
