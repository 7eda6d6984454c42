//! A blocking request on a connection of its own: for setting up and for asking whether it lives.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

/// How long a request may take. Above what a busy server needs, below a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, its body as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Asks for `path` without a body.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\n{}", closing(address)),
    )
}

/// Asks for `path` with a bearer token.
pub fn get_as(address: SocketAddr, path: &str, token: &str) -> anyhow::Result<Answer> {
    let closing = closing(address);
    let request = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n{closing}");
    exchange(address, &request)
}

/// Posts JSON with a bearer token.
pub fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> anyhow::Result<Answer> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n{}{body}",
        body.len(),
        closing(address)
    );
    exchange(address, &request)
}

fn closing(address: SocketAddr) -> String {
    format!("host: {address}\r\nconnection: close\r\n\r\n")
}

fn exchange(address: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    parse(&text).with_context(|| format!("no answer of HTTP/1.1: {text:?}"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}
