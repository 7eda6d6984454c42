//! Certificates and handshakes, good and bad.

use std::sync::Arc;

use domain::{ErrorClass, Phases};
use env::{Egress, EgressError};
use posthaste_egress::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::route::Tunnels;
use crate::support::{AMPLE, BRIEF, LATE, Names, OK, Receiver, config, connect, send, url};

const NAME: &str = "hooks.example";

/// An authority that the client trusts.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self(issuer.unwrap())
    }

    fn client(&self) -> Client {
        Client::new(Config {
            resolver: Names::with(NAME, &[&["127.0.0.1"]]),
            extra_roots_pem: self.0.pem().into_bytes(),
            ..config()
        })
        .unwrap()
    }

    fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), key)
    }

    fn issue_for(&self, name: &str) -> Identity {
        self.issue(&CertificateParams::new([name.to_owned()]).unwrap())
    }
}

type Identity = (CertificateDer<'static>, KeyPair);

fn server_config(
    (certificate, key): Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// Speaks TLS with this configuration, and answers every request.
async fn tls_receiver(config: ServerConfig) -> Receiver {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(peer.stream).await else {
                return;
            };
            let mut request = Vec::new();
            while stream
                .read_buf(&mut request)
                .await
                .is_ok_and(|read| read > 0)
            {
                if request.ends_with(b"{}") {
                    request.clear();
                    let _ = stream.write_all(OK).await;
                    let _ = stream.flush().await;
                }
            }
        }
    })
    .await
}

async fn receiver_with(identity: Identity) -> Receiver {
    tls_receiver(server_config(identity, rustls::ALL_VERSIONS)).await
}

fn secure(receiver: &Receiver) -> Arc<domain::TargetUrl> {
    url(&format!("https://{NAME}:{}/hook", receiver.address.port()))
}

async fn failure(client: &Client, receiver: &Receiver) -> EgressError {
    let error = connect(client, &secure(receiver)).await.err().unwrap();
    assert!(!error.wrote);
    error
}

#[tokio::test]
async fn through_a_tunnel_the_certificate_of_the_destination_is_checked() {
    let authority = Authority::new();
    let version = [&rustls::version::TLS13];
    let tunnels = Tunnels::start().await;
    let client = Client::new(Config {
        proxy: Some(tunnels.proxy("")),
        resolver: Names::with(NAME, &[&["127.0.0.1"]]),
        extra_roots_pem: authority.0.pem().into_bytes(),
        ..config()
    })
    .unwrap();

    for (name, is_good) in [(NAME, true), ("others.example", false)] {
        let receiver = tls_receiver(server_config(authority.issue_for(name), &version)).await;
        let mut connection = connect(&client, &secure(&receiver)).await;
        match &mut connection {
            Ok(connection) => {
                assert!(is_good);
                let answer = send(connection, &secure(&receiver)).await;
                assert_eq!(answer.unwrap().status, 200);
            }
            Err(error) => assert_eq!((error.class, is_good), (ErrorClass::TlsCertificate, false)),
        }
        let asked = format!("CONNECT {} ", receiver.address);
        assert!(tunnels.asked().last().unwrap().starts_with(&asked));
    }
}

#[tokio::test]
async fn a_valid_certificate_of_an_extra_root_is_accepted_with_either_version() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = server_config(authority.issue_for(NAME), &[version]);
        let receiver = tls_receiver(config).await;
        let target = secure(&receiver);
        let mut phases = Phases::default();
        let deadline = Instant::now() + AMPLE;

        let client = authority.client();
        let mut connection = client
            .connect(&target, deadline, &mut phases)
            .await
            .unwrap();

        assert!(phases.tls.is_some());
        for _ in 0..3 {
            assert!(connection.is_usable(Instant::now() + BRIEF));
            assert_eq!(send(&mut connection, &target).await.unwrap().status, 200);
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn a_full_stop_at_the_end_of_the_name_is_no_part_of_the_certificate() {
    let authority = Authority::new();
    let receiver = receiver_with(authority.issue_for(NAME)).await;
    let client = Client::new(Config {
        resolver: Names::with("hooks.example.", &[&["127.0.0.1"]]),
        extra_roots_pem: authority.0.pem().into_bytes(),
        ..config()
    })
    .unwrap();
    let target = url(&format!("https://{NAME}.:{}/", receiver.address.port()));

    assert!(connect(&client, &target).await.is_ok());
}

#[tokio::test]
async fn a_certificate_for_an_address_is_accepted_for_that_address() {
    let authority = Authority::new();
    let receiver = receiver_with(authority.issue_for("127.0.0.1")).await;
    let target = url(&format!("https://{}/", receiver.address));

    assert!(connect(&authority.client(), &target).await.is_ok());
}

#[tokio::test]
async fn h6_a_self_signed_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([NAME.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let receiver = receiver_with((certificate.der().clone(), key)).await;

    let error = failure(&Authority::new().client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsCertificate);
}

#[tokio::test]
async fn h6_a_certificate_of_another_authority_is_refused() {
    let receiver = receiver_with(Authority::new().issue_for(NAME)).await;

    let error = failure(&Authority::new().client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsCertificate);
}

#[tokio::test]
async fn h6_an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let receiver = receiver_with(authority.issue(&params)).await;

    let error = failure(&authority.client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsCertificate);
    assert!(error.detail.contains("expired"), "{}", error.detail);
}

#[tokio::test]
async fn h6_a_certificate_of_another_host_is_refused() {
    let authority = Authority::new();
    let receiver = receiver_with(authority.issue_for("other.example")).await;

    let error = failure(&authority.client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsCertificate);
    assert!(
        error.detail.contains("not valid for name"),
        "{}",
        error.detail
    );
}

#[tokio::test]
async fn h6_silence_after_the_client_hello_ends_with_the_connect_budget() {
    let receiver = Receiver::answering_once("").await;
    let client = Client::new(Config {
        resolver: Names::with(NAME, &[&["127.0.0.1"]]),
        connect_timeout: BRIEF,
        ..config()
    })
    .unwrap();
    let start = Instant::now();

    let error = failure(&client, &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsFailed);
    assert!((BRIEF..LATE).contains(&start.elapsed()));
}

#[tokio::test]
async fn h6_a_server_of_an_old_version_is_refused() {
    // An alert of TLS 1.0: protocol_version, fatal.
    let receiver = talking_back(&[0x15, 3, 1, 0, 2, 2, 70]).await.0;

    let error = failure(&Authority::new().client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsFailed);
}

#[tokio::test]
async fn h6_a_server_without_tls_is_refused_and_never_sees_the_request() {
    let (receiver, mut heard) = talking_back(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;

    let error = failure(&Authority::new().client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsFailed);
    let heard = heard.recv().await.unwrap();
    assert_eq!(heard[0], 0x16, "a handshake record");
    assert!(!heard.windows(4).any(|bytes| bytes == b"POST"));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn h6_a_close_within_the_handshake_is_no_certificate_error() {
    let receiver = Receiver::start(|peer| async move { peer.reset() }).await;

    let error = failure(&Authority::new().client(), &receiver).await;

    assert_eq!(error.class, ErrorClass::TlsFailed);
}

#[tokio::test]
async fn h6_a_server_that_demands_a_client_certificate_fails_the_attempt() {
    let authority = Authority::new();
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let demanding =
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
            .build()
            .unwrap();
    let (certificate, key) = authority.issue_for(NAME);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(demanding)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let receiver = tls_receiver(config).await;
    let target = secure(&receiver);

    // With TLS 1.3 the client is done before the server has looked at its certificate.
    let mut connection = connect(&authority.client(), &target).await.unwrap();
    let error = send(&mut connection, &target).await.unwrap_err();

    assert_eq!(error.class, ErrorClass::TlsFailed, "{}", error.detail);
}

#[tokio::test]
async fn the_handshake_offers_http_1_and_nothing_else() {
    let authority = Authority::new();
    let mut config = server_config(authority.issue_for(NAME), rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let receiver = tls_receiver(config).await;
    let error = failure(&authority.client(), &receiver).await;
    assert_eq!(error.class, ErrorClass::TlsFailed);

    let mut config = server_config(authority.issue_for(NAME), rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let receiver = tls_receiver(config).await;
    assert!(
        connect(&authority.client(), &secure(&receiver))
            .await
            .is_ok()
    );
}

/// Answers whatever it hears first with these bytes; hands on all that it heard.
async fn talking_back(answer: &'static [u8]) -> (Receiver, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (hears, heard) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut peer| {
        let hears = hears.clone();
        async move {
            let mut bytes = Vec::new();
            peer.stream.read_buf(&mut bytes).await.unwrap();
            peer.write(answer).await;
            let _ = peer.stream.read_to_end(&mut bytes).await;
            let _ = hears.send(bytes);
        }
    })
    .await;
    (receiver, heard)
}
