//! What is delivered to the local receiver, and how it is written to a file and read back.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// The longest line of a recording: the largest body that a source takes, in base64, and its head.
const LINE_MAX: u64 = 32 << 20;

/// One delivery: a message, or a request that a source received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parcel {
    /// The id of the message, or of the request.
    pub(super) id: String,
    /// When it was received here.
    pub(super) at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<String>,
    #[serde(default = "post")]
    pub(super) method: String,
    /// What is added to the path and the query of the URL that it is delivered to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) path: String,
    /// Names and values, in the order in which they came.
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    #[serde(flatten)]
    pub(super) body: Body,
}

/// A body, readable where it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    #[serde(rename = "body")]
    Text(String),
    #[serde(rename = "bodyBase64")]
    Base64(String),
    /// It was erased; the text says so.
    #[serde(rename = "erased")]
    Erased(String),
}

fn post() -> String {
    "POST".to_owned()
}

impl Body {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    pub(super) fn erased() -> Self {
        Self::Erased("its payload was erased".to_owned())
    }

    pub(super) fn bytes(&self) -> Result<Bytes, Failure> {
        match self {
            Self::Text(text) => Ok(Bytes::from(text.clone())),
            Self::Base64(text) => {
                let bytes = STANDARD.decode(text);
                let bytes = bytes.map_err(|_| Failure::usage("its bodyBase64 is no base64"))?;
                Ok(Bytes::from(bytes))
            }
            Self::Erased(why) => Err(Failure::unavailable(why.clone())),
        }
    }
}

/// A file that what is delivered is written to, a line of JSON each.
pub(super) struct Recorder {
    file: File,
    name: String,
}

impl Recorder {
    /// Opens a file to write to its end. Nobody else may read it: it has what providers sent.
    pub(super) fn open(name: &str) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).mode(0o600).open(name);
        let cannot = |error| Failure::usage(format!("cannot write {name}: {error}"));
        Ok(Self {
            file: opened.map_err(cannot)?,
            name: name.to_owned(),
        })
    }

    pub(super) fn write(&mut self, parcel: &Parcel) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(parcel).expect("texts can be written");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| {
            let message = format!("cannot write {}: {error}", self.name);
            Failure::new(crate::Exit::Failure, message)
        })
    }
}

/// What a file was recorded with, one after the other.
pub(super) struct Recording {
    lines: BufReader<File>,
    name: String,
    line: usize,
}

impl Recording {
    pub(super) fn open(name: &str) -> Result<Self, Failure> {
        let cannot = |error| Failure::usage(format!("cannot read {name}: {error}"));
        Ok(Self {
            lines: BufReader::new(File::open(name).map_err(cannot)?),
            name: name.to_owned(),
            line: 0,
        })
    }

    /// The next one; `None` at the file's end.
    pub(super) fn next(&mut self) -> Result<Option<Parcel>, Failure> {
        loop {
            let mut line = Vec::new();
            self.line += 1;
            let place = format!("{}, line {}", self.name, self.line);
            let wrong = |why: String| Failure::usage(format!("{place}: {why}"));
            let mut lines = (&mut self.lines).take(LINE_MAX);
            let read = lines.read_until(b'\n', &mut line);
            if read.map_err(|error| wrong(error.to_string()))? == 0 {
                return Ok(None);
            }
            if line.len() as u64 == LINE_MAX {
                return Err(wrong("is longer than any recording's".to_owned()));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let parcel = serde_json::from_slice(&line);
            return parcel
                .map(Some)
                .map_err(|error| wrong(format!("is no recorded request: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(body: &[u8]) -> Parcel {
        Parcel {
            id: "req_1".into(),
            at: "2026-01-01T00:00:00Z".into(),
            event_type: None,
            method: "PUT".into(),
            path: "/a?b=c".into(),
            headers: vec![("x".into(), "1".into()), ("x".into(), "2".into())],
            body: Body::of(body),
        }
    }

    #[test]
    fn what_is_written_is_read_back_byte_for_byte() {
        let name = std::env::temp_dir().join(format!("recording-{}", std::process::id()));
        let name = name.to_str().unwrap();
        let all = [parcel(b"{\"a\":\n 1.0}"), parcel(b"\xff\0\n"), parcel(b"")];
        let mut recorder = Recorder::open(name).unwrap();
        for one in &all {
            recorder.write(one).unwrap();
        }

        let mut recording = Recording::open(name).unwrap();
        let read: Vec<_> = std::iter::from_fn(|| recording.next().unwrap()).collect();
        let _ = std::fs::remove_file(name);

        assert_eq!(read, all);
        assert_eq!(read[1].body.bytes().unwrap(), b"\xff\0\n".as_slice());
        assert!(matches!(read[1].body, Body::Base64(_)));
    }

    #[test]
    fn what_is_no_recording_names_the_line() {
        let name = std::env::temp_dir().join(format!("no-recording-{}", std::process::id()));
        let name = name.to_str().unwrap();
        std::fs::write(
            name,
            "{\"id\": \"a\", \"at\": \"b\", \"body\": \"\"}\n\n{\n",
        )
        .unwrap();
        let mut recording = Recording::open(name).unwrap();

        assert_eq!(recording.next().unwrap().unwrap().method, "POST");
        let refused = recording.next().unwrap_err();
        let _ = std::fs::remove_file(name);

        let told = refused.message();
        assert!(told.contains(", line 3: is no recorded request"), "{told}");
    }

    #[test]
    fn a_body_that_was_erased_is_not_delivered() {
        assert_eq!(
            Body::erased().bytes().unwrap_err().message(),
            "its payload was erased"
        );
        assert!(Body::Base64("?".into()).bytes().is_err());
    }
}
