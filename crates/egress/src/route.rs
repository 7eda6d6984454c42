//! The way to a destination: from which address of ours, and through a proxy or straight.
//!
//! Both are the operator's choice and no destination's, so neither is judged by the address
//! policy. What a proxy is asked for is: always an address that was vetted, never a name, or the
//! proxy would look the name up once more and connect to whatever it is told then.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{ErrorClass, TargetHost, TargetUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::failure::Failure;
use crate::resolve::Resolve;

/// The addresses to connect from. The default leaves the choice to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// To IPv4 addresses.
    pub v4: Option<std::net::Ipv4Addr>,
    /// To IPv6 addresses.
    pub v6: Option<std::net::Ipv6Addr>,
}

/// An HTTP proxy that is asked for a tunnel (`CONNECT`) to each destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: TargetHost,
    port: u16,
    /// The value of `Proxy-Authorization`.
    credentials: Option<Box<str>>,
}

/// Why a text is no [`Proxy`]. It never has the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not `http://` and an address.
    #[error("is not a proxy such as http://user:password@10.0.0.1:3128")]
    Malformed,
    /// There is no port. The scheme's own would hardly ever be the one that is meant.
    #[error("has no port; write it out, such as http://10.0.0.1:3128")]
    NoPort,
    /// A user without a password, or either with a broken escape.
    #[error("has a user name or password that is not user:password with escapes such as %40")]
    Credentials,
}

impl Proxy {
    /// Parses `http://host:port` or `http://user:password@host:port`.
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        let rest = text
            .strip_prefix("http://")
            .ok_or(InvalidProxy::Malformed)?;
        let (user_info, address) = match rest.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?']) {
            return Err(InvalidProxy::Malformed);
        }
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        let Some(Ok(port)) = port else {
            return Err(InvalidProxy::NoPort);
        };
        let url = TargetUrl::parse(&format!("http://{address}"));
        let url = url.map_err(|_| InvalidProxy::Malformed)?;
        Ok(Self {
            host: url.host().clone(),
            port,
            credentials: user_info.map(basic).transpose()?,
        })
    }
}

/// Shows where it is, and not with what it is asked.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .finish()
    }
}

/// Writes `user:password` as it goes into a header.
fn basic(user_info: &str) -> Result<Box<str>, InvalidProxy> {
    let (user, password) = user_info.split_once(':').ok_or(InvalidProxy::Credentials)?;
    let mut plain = unescaped(user)?;
    // The first colon ends the user name, so it cannot have one itself (RFC 7617, section 2).
    if plain.contains(&b':') {
        return Err(InvalidProxy::Credentials);
    }
    plain.push(b':');
    plain.extend(unescaped(password)?);
    Ok(format!("Basic {}", STANDARD.encode(plain)).into())
}

/// Replaces escapes such as `%40`.
fn unescaped(text: &str) -> Result<Vec<u8>, InvalidProxy> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).ok_or(InvalidProxy::Credentials)?;
        let digits = std::str::from_utf8(digits).map_err(|_| InvalidProxy::Credentials)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidProxy::Credentials)?;
        bytes.push(byte);
        rest = &rest[2..];
    }
    Ok(bytes)
}

/// How connections are opened.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) bind: Bind,
    pub(crate) proxy: Option<Proxy>,
    /// Looks up the proxy's name.
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl Route {
    /// Opens a connection whose bytes reach this address.
    pub(crate) async fn open(&self, address: SocketAddr) -> Result<TcpStream, Failure> {
        let Some(proxy) = &self.proxy else {
            let connected = dial(self.bind, address).await;
            return connected.map_err(|error| Failure::connecting(&error));
        };
        let at = SocketAddr::new(self.locate(proxy).await?, proxy.port);
        let stream = dial(self.bind, at).await;
        let mut stream =
            stream.map_err(|error| broken(&format!("could not be reached: {error}")))?;
        tunnel(&mut stream, proxy, address).await?;
        Ok(stream)
    }

    async fn locate(&self, proxy: &Proxy) -> Result<IpAddr, Failure> {
        let name = match &proxy.host {
            TargetHost::Ip(ip) => return Ok(*ip),
            TargetHost::Name(name) => name,
        };
        let addresses = self.resolver.resolve(name).await;
        let addresses = addresses.map_err(|error| broken(&format!("was not found: {error}")))?;
        // IPv4 goes first, as it does for destinations.
        let first = addresses.iter().min_by_key(|ip| ip.is_ipv6());
        first.copied().ok_or_else(|| broken("has no address"))
    }
}

/// A failure of the proxy: of the operator's own installation, and not of the destination.
fn broken(what: &str) -> Failure {
    Failure::new(ErrorClass::ConnectFailed, format!("the proxy {what}"))
}

async fn dial(bind: Bind, address: SocketAddr) -> io::Result<TcpStream> {
    let from = match address {
        SocketAddr::V4(_) => bind.v4.map(IpAddr::V4),
        SocketAddr::V6(_) => bind.v6.map(IpAddr::V6),
    };
    let Some(from) = from else {
        return TcpStream::connect(address).await;
    };
    let socket = match from {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(address).await
}

/// Asks for a tunnel and reads the answer's head, which is all of it.
async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, to: SocketAddr) -> Result<(), Failure> {
    const HEAD_MAX: usize = 8 * 1024;
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(credentials) = &proxy.credentials {
        request.push_str("Proxy-Authorization: ");
        request.push_str(credentials);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let gone = |error: io::Error| broken(&format!("broke off: {error}"));
    stream.write_all(request.as_bytes()).await.map_err(gone)?;
    let mut head = Vec::with_capacity(512);
    loop {
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return judge(&head);
        }
        if head.len() >= HEAD_MAX {
            return Err(broken("answers at too great a length"));
        }
        if stream.read_buf(&mut head).await.map_err(gone)? == 0 {
            return Err(broken("closed the connection instead of answering"));
        }
    }
}

/// Reads the answer to `CONNECT`. Nothing follows its head until we have written into the
/// tunnel; a refusal has a body, which says nothing that the status does not.
fn judge(head: &[u8]) -> Result<(), Failure> {
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| {
        std::str::from_utf8(rest.get(2..5)?)
            .ok()?
            .parse::<u16>()
            .ok()
    });
    match status {
        Some(200..=299) if head.ends_with(b"\r\n\r\n") => Ok(()),
        Some(200..=299) => Err(broken("speaks before it is spoken to")),
        Some(407) => Err(broken(
            "does not take the credentials of egress.proxy (407)",
        )),
        Some(status) => Err(broken(&format!("refuses the tunnel with status {status}"))),
        None => Err(broken("does not speak HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_with_a_port_and_perhaps_credentials() {
        let proxy = Proxy::parse("http://me:p%40ss:w@proxy.internal:3128/").unwrap();
        assert_eq!(proxy.host, TargetHost::Name("proxy.internal".into()));
        assert_eq!(proxy.port, 3_128);
        let expected = format!("Basic {}", STANDARD.encode("me:p@ss:w"));
        assert_eq!(proxy.credentials.as_deref(), Some(expected.as_str()));

        let bare = Proxy::parse("http://[::1]:80").unwrap();
        assert_eq!((bare.port, bare.credentials), (80, None));
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for (text, fault) in [
            ("proxy:3128", InvalidProxy::Malformed),
            ("https://proxy:3128", InvalidProxy::Malformed),
            ("socks5://proxy:3128", InvalidProxy::Malformed),
            ("http://proxy:3128/path", InvalidProxy::Malformed),
            ("http://:3128", InvalidProxy::Malformed),
            ("http://proxy", InvalidProxy::NoPort),
            ("http://[::1]", InvalidProxy::NoPort),
            ("http://proxy:99999", InvalidProxy::NoPort),
            ("http://me@proxy:3128", InvalidProxy::Credentials),
            ("http://me:%4@proxy:3128", InvalidProxy::Credentials),
            ("http://a%3ab:c@proxy:3128", InvalidProxy::Credentials),
        ] {
            assert_eq!(Proxy::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{:?}", Proxy::parse("http://me:secret@proxy:3128").unwrap());

        assert!(shown.contains("proxy") && shown.contains("***"), "{shown}");
        let encoded = STANDARD.encode("me:secret");
        assert!(
            !shown.contains("secret") && !shown.contains(&encoded),
            "{shown}"
        );
    }

    #[test]
    fn only_a_2xx_with_nothing_after_it_opens_a_tunnel() {
        assert!(judge(b"HTTP/1.1 200 Connection established\r\n\r\n").is_ok());
        assert!(judge(b"HTTP/1.0 200\r\nVia: x\r\n\r\n").is_ok());
        for head in [
            &b"HTTP/1.1 200 OK\r\n\r\nhello"[..],
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
            b"",
        ] {
            assert!(judge(head).is_err(), "{head:?}");
        }
    }
}
