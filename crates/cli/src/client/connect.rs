//! A connection to the server that `--url` names.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::trust;
use crate::exit::Failure;

/// Where a server is, taken apart.
#[derive(Debug)]
pub(crate) struct Server {
    tls: bool,
    host: String,
    port: u16,
    /// Host and port as they stood in the URL.
    authority: String,
    /// The path that the API lies below, without a slash at its end.
    prefix: String,
    trusts_anybody: bool,
}

impl Server {
    /// Parses `http://host:port/prefix`. `what` is how the person calls the URL.
    pub(crate) fn parse(what: &str, url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("{what} {url:?} {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("starts with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("has a query or a user"));
        }
        Ok(Self {
            tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            trusts_anybody: false,
        })
    }

    /// Parses a whole URL, or a port of this machine, and returns its path and query apart.
    pub(crate) fn and_path(text: &str) -> Result<(Self, String), Failure> {
        let port = text.strip_prefix(':').unwrap_or(text);
        let url = match port.parse::<u16>() {
            Ok(port) => format!("http://127.0.0.1:{port}/"),
            Err(_) => text.to_owned(),
        };
        let wrong = || Failure::usage(format!("{text:?} is neither a URL nor a port"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let server = Self::parse("the URL", &format!("{scheme}://{authority}"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok((server, path.to_owned()))
    }

    /// Does not ask who the server is: for one on the same machine that made its own certificate.
    pub(crate) fn trusting_anybody(mut self, yes: bool) -> Self {
        self.trusts_anybody = yes;
        self
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let failed = |error: io::Error| {
            let message = format!("cannot connect to {}: {error}", self.authority);
            Failure::unavailable(message)
                .with_hint("is `posthaste serve` running there? --url says where to look")
        };
        #[allow(
            clippy::disallowed_types,
            reason = "a command connects where its user says"
        )]
        let socket = tokio::net::TcpStream::connect((self.host.as_str(), self.port)).await;
        let socket = socket.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        if !self.tls {
            return self.speak(socket).await;
        }
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Failure::usage("--url names a host that no certificate can name"))?;
        let tls = if self.trusts_anybody {
            trust::anybody()?
        } else {
            tls()?
        };
        self.speak(tls.connect(name, socket).await.map_err(failed)?)
            .await
    }

    async fn speak<S>(&self, socket: S) -> Result<SendRequest<Full<Bytes>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(|error| {
            Failure::unavailable(format!("{} speaks no HTTP: {error}", self.authority))
        })?;
        // Ends with the connection, whose errors the sender reports as well.
        tokio::spawn(async move { connection.await.ok() });
        Ok(sender)
    }
}

/// Trusts what this machine trusts, and where it trusts nothing (a bare container) Mozilla's list.
fn tls() -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(crate::Exit::Failure, error.to_string()))
    };
    let config = if let Ok(trusting) = builder()?.with_platform_verifier() {
        trusting.with_no_client_auth()
    } else {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        builder()?
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
