//! A server for tests that answers what it was told to, and keeps what it was asked.

#![allow(
    clippy::disallowed_types,
    reason = "a scripted server on the loopback interface"
)]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::profile::Target;

/// What a scripted server does with one connection.
pub(crate) enum Script {
    Answer {
        status: u16,
        body: &'static str,
    },
    /// Reads the request and closes without a word.
    HangUp,
}

/// Answers with this status and body.
pub(crate) fn answer(status: u16, body: &'static str) -> Script {
    Script::Answer { status, body }
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }
}

/// Serves the script, one connection for each entry, and then nothing any more.
pub(crate) struct Scripted {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(script: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            for entry in script {
                let (mut socket, _) = listener.accept().await.unwrap();
                let request = read(&mut socket).await;
                kept.lock().unwrap().push(request);
                if let Script::Answer { status, body } = entry {
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\nx-request-id: req_1\r\ncontent-length: {}\r\n\
                         connection: close\r\n\r\n{body}",
                        body.len()
                    );
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { url, asked, task }
    }

    pub(crate) fn args(&self) -> Target {
        let token = Some("key_1".parse().unwrap());
        Target {
            profile: String::new(),
            url: self.url.clone(),
            token,
            app: None,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(socket: &mut tokio::net::TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let line = head.lines().next().unwrap().to_owned();
            let asked = Asked {
                line,
                head: head.to_owned(),
                body: body.to_owned(),
            };
            let length = asked
                .header("content-length")
                .map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                return asked;
            }
        }
        assert_ne!(
            socket.read_buf(&mut bytes).await.unwrap(),
            0,
            "the client closed early"
        );
    }
}
