//! What a process did to its files and told its callers, read from what `strace -f -y -xx` wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// One thing that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Bytes were handed to the kernel.
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// A file was cut, or made longer.
    Resize { file: usize, len: usize },
    /// A sync ended well; what was written before the event numbered `begun` is durable.
    Synced { file: usize, begun: usize },
    /// A file was erased.
    Erased { file: usize },
    /// A publish was answered with 202.
    Accepted,
}

/// Everything that happened to the files of one folder.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) events: Vec<Event>,
    /// Calls that have begun, by thread: what will have happened when they return.
    open: HashMap<String, Event>,
}

/// The calls that are looked at.
pub(crate) const CALLS: &str =
    "trace=pwrite64,ftruncate,fdatasync,fsync,unlink,unlinkat,write,writev,sendto,sendmsg";

/// `HTTP/1.1 202` as `-xx` shows it.
const ACCEPTED: &str = r"\x48\x54\x54\x50\x2f\x31\x2e\x31\x20\x32\x30\x32";

impl Trace {
    /// Reads the lines of a trace; calls on files outside of `folder` are left out.
    pub(crate) fn read(lines: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut trace = Self::default();
        for line in lines.lines() {
            trace
                .line(line, folder)
                .with_context(|| format!("in the trace: {line:.200}"))?;
        }
        Ok(trace)
    }

    #[cfg(test)]
    pub(crate) fn of(files: Vec<PathBuf>, events: Vec<Event>) -> Self {
        Self {
            files,
            events,
            open: HashMap::new(),
        }
    }

    fn line(&mut self, line: &str, folder: &Path) -> anyhow::Result<()> {
        let (thread, rest) = line.split_once(' ').context("no thread")?;
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            // Only calls whose end matters were kept.
            if let Some(event) = self.open.remove(thread)
                && resumed.trim_end().ends_with("= 0")
            {
                self.events.push(event);
            }
            return Ok(());
        }
        let Some((name, arguments)) = rest.split_once('(') else {
            return Ok(()); // A signal, or the end of a thread.
        };
        let ended = !rest.contains("<unfinished ...>");
        match name {
            "pwrite64" => self.write(arguments, folder),
            "ftruncate" => self.resize(arguments, folder),
            "fdatasync" | "fsync" => {
                let Some(file) = self.file(arguments, folder)? else {
                    return Ok(());
                };
                let begun = self.events.len();
                let event = Event::Synced { file, begun };
                if !ended {
                    self.open.insert(thread.to_owned(), event);
                } else if rest.trim_end().ends_with("= 0") {
                    self.events.push(event);
                }
                Ok(())
            }
            "unlink" | "unlinkat" => {
                let path = arguments.split('"').nth(1).context("no path")?;
                let path = PathBuf::from(String::from_utf8(bytes(path)?)?);
                if let Some(file) = self.files.iter().position(|known| *known == path) {
                    self.events.push(Event::Erased { file });
                }
                Ok(())
            }
            _ => {
                let answers = arguments.matches(ACCEPTED).count();
                self.events
                    .extend(std::iter::repeat_n(Event::Accepted, answers));
                Ok(())
            }
        }
    }

    fn write(&mut self, arguments: &str, folder: &Path) -> anyhow::Result<()> {
        let Some(file) = self.file(arguments, folder)? else {
            return Ok(());
        };
        let mut parts = arguments.split('"');
        let (data, tail) = (
            parts.nth(1).context("no bytes")?,
            parts.next().context("no end")?,
        );
        if tail.starts_with("...") {
            bail!("strace has cut a write short");
        }
        let mut numbers = tail
            .split(|one: char| !one.is_ascii_digit())
            .filter(|text| !text.is_empty());
        let offset = numbers.nth(1).context("no offset")?.parse()?;
        let bytes = bytes(data)?;
        self.events.push(Event::Write {
            file,
            offset,
            bytes,
        });
        Ok(())
    }

    fn resize(&mut self, arguments: &str, folder: &Path) -> anyhow::Result<()> {
        let Some(file) = self.file(arguments, folder)? else {
            return Ok(());
        };
        let (_, len) = arguments.split_once(", ").context("no length")?;
        let len = len.split(|one: char| !one.is_ascii_digit()).next();
        let len = len.context("no length")?.parse()?;
        self.events.push(Event::Resize { file, len });
        Ok(())
    }

    /// Returns the number of the file that a call is about; `None` for one of no interest.
    fn file(&mut self, arguments: &str, folder: &Path) -> anyhow::Result<Option<usize>> {
        let path = arguments
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        let Some((path, _)) = path else {
            return Ok(None);
        };
        let path = PathBuf::from(String::from_utf8_lossy(&bytes(path)?).into_owned());
        // The database and its logs. What is mapped into memory is made anew after a crash.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_wanted = ["db", "db-wal", "db-journal"]
            .iter()
            .any(|end| name.ends_with(&format!(".{end}")));
        if !path.starts_with(folder) || !is_wanted {
            return Ok(None);
        }
        let known = self.files.iter().position(|file| *file == path);
        Ok(Some(known.unwrap_or_else(|| {
            self.files.push(path);
            self.files.len() - 1
        })))
    }
}

/// Reads `\x61\x62`.
fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.split("\\x").skip(1);
    digits
        .map(|pair| u8::from_str_radix(pair, 16).context("bytes of another shape"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r"\x2f\x64\x2f\x61\x2e\x64\x62"; // /d/a.db

    fn read(lines: &[String]) -> Trace {
        Trace::read(&lines.join("\n"), Path::new("/d")).unwrap()
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let trace = read(&[
            format!(r#"7 pwrite64(5<{LOG}>, "\x01\x02", 2, 512) = 2"#),
            format!("8 fdatasync(5<{LOG}> <unfinished ...>"),
            format!(r#"7 pwrite64(5<{LOG}>, "\x03", 1, 514) = 1"#),
            "8 <... fdatasync resumed>) = 0".to_owned(),
            format!(r#"7 sendto(9<\x73>, "{ACCEPTED}\x20", 13, 0, NULL, 0) = 13"#),
            format!("7 ftruncate(5<{LOG}>, 100) = 0"),
            "7 +++ exited with 0 +++".to_owned(),
        ]);

        assert_eq!(trace.files, [PathBuf::from("/d/a.db")]);
        let write = |offset, bytes: &[u8]| Event::Write {
            file: 0,
            offset,
            bytes: bytes.to_vec(),
        };
        let wanted = [
            write(512, &[1, 2]),
            write(514, &[3]),
            Event::Synced { file: 0, begun: 1 },
            Event::Accepted,
            Event::Resize { file: 0, len: 100 },
        ];
        assert_eq!(trace.events, wanted);
    }

    #[test]
    fn a_sync_that_failed_and_files_of_others_are_left_out() {
        let trace = read(&[
            format!("8 fdatasync(5<{LOG}>) = -1 EIO (Input/output error)"),
            format!("8 fdatasync(5<{LOG}> <unfinished ...>"),
            "8 <... fdatasync resumed>) = -1 EIO (Input/output error)".to_owned(),
            r#"7 pwrite64(5<\x2f\x65>, "\x01", 1, 0) = 1"#.to_owned(),
        ]);

        assert!(trace.events.is_empty(), "{:?}", trace.events);
    }
}
