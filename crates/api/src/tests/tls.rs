//! TLS of the listener.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::raw::{PATIENT, SHORT, Server, limits};
use crate::Certificates;
use crate::serve::Deadlines;

const REQUEST: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                         Content-Length: 2\r\n\r\nhi";

/// The two files, and what a client must trust to accept what is in them.
struct Files {
    folder: TempDir,
    root: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let mut files = Self {
            folder: TempDir::new().unwrap(),
            root: CertificateDer::from(Vec::new()),
        };
        files.replace();
        files
    }

    /// Writes a fresh certificate and key.
    fn replace(&mut self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(self.path("cert.pem"), made.cert.pem()).unwrap();
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        self.root = made.cert.der().clone();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Arc<Certificates> {
        Arc::new(Certificates::load(&self.path("cert.pem"), &self.path("key.pem")).unwrap())
    }
}

/// Makes one request as a client that trusts `root` and speaks one version.
async fn request(
    server: &Server,
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, server.socket().await).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn requests_are_answered_over_both_versions() {
    let files = Files::new();
    let server = Server::start_with(limits(PATIENT), Some(files.load()));

    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let answer = request(&server, &files.root, version).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    }
}

/// And connections that are open go on.
#[tokio::test]
async fn a_new_certificate_counts_for_new_connections() {
    let mut files = Files::new();
    let certificates = files.load();
    let server = Server::start_with(limits(PATIENT), Some(Arc::clone(&certificates)));
    let version = &rustls::version::TLS13;
    let before = files.root.clone();
    assert!(!certificates.reload().unwrap(), "the files are the same");

    files.replace();
    assert!(certificates.reload().unwrap());

    request(&server, &before, version).await.unwrap_err();
    request(&server, &files.root, version).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_earlier_ones_in_use() {
    let mut files = Files::new();
    let certificates = files.load();
    let server = Server::start_with(limits(PATIENT), Some(Arc::clone(&certificates)));
    let (good, key) = (files.root.clone(), fs::read(files.path("key.pem")).unwrap());

    files.replace();
    fs::write(files.path("key.pem"), key).unwrap(); // Not the new certificate's.

    let error = certificates.reload().unwrap_err();
    assert!(error.to_string().contains("key"), "{error}");
    assert!(!certificates.reload().unwrap(), "said once");
    request(&server, &good, &rustls::version::TLS12)
        .await
        .unwrap();
    fs::remove_file(files.path("cert.pem")).unwrap();
    assert!(
        certificates
            .reload()
            .unwrap_err()
            .to_string()
            .contains("cert.pem")
    );
    files.replace();
    assert!(certificates.reload().unwrap());
    request(&server, &files.root, &rustls::version::TLS12)
        .await
        .unwrap();
}

#[tokio::test]
async fn files_without_a_certificate_or_key_are_refused_at_the_start() {
    let files = Files::new();
    let load = || Certificates::load(&files.path("cert.pem"), &files.path("key.pem"));

    fs::write(files.path("key.pem"), "key").unwrap();
    assert!(load().unwrap_err().to_string().contains("the key"));
    fs::write(files.path("cert.pem"), "certificate").unwrap();
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("no PEM certificate")
    );
}

#[tokio::test]
async fn a_peer_that_does_not_shake_hands_loses_its_connection() {
    let files = Files::new();
    let deadlines = Deadlines {
        first_byte: SHORT,
        ..PATIENT
    };
    let server = Server::start_with(limits(deadlines), Some(files.load()));

    let mut silent = server.connect().await;
    assert!(silent.rest_bytes().await.is_empty());
    let mut started = server.connect().await;
    started.send(&[22, 3, 1]).await; // The beginning of a greeting, and nothing more.
    let answered = tokio::time::timeout(Duration::from_secs(10), started.rest_bytes()).await;
    assert!(answered.unwrap().is_empty());
}

#[tokio::test]
async fn a_request_in_the_clear_reaches_no_handler() {
    let files = Files::new();
    let server = Server::start_with(limits(PATIENT), Some(files.load()));

    let answer = server.exchange(REQUEST).await;

    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.requests(), 0);
}
