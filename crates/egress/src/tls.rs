//! TLS to destinations: version 1.2 or later, certificates always verified.

use std::io;
use std::sync::Arc;

use domain::{ErrorClass, TargetHost};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::warn;

use crate::failure::Failure;
use crate::wire::Socket;

/// The root certificates of the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the extra root certificates cannot be used: {reason}")]
pub struct InvalidRoots {
    /// What is wrong with them.
    pub reason: String,
}

/// Makes a connector that trusts the platform's roots and those in `extra_roots_pem`.
///
/// Where the platform has none, as in a bare container, Mozilla's list from build time is used.
pub(crate) fn connector(extra_roots_pem: &[u8]) -> Result<TlsConnector, InvalidRoots> {
    let extra_roots = read_roots(extra_roots_pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Asked without the extra ones, or those alone would pass for the platform's.
    let platform = Verifier::new(Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites of both versions");
    let mut config = match platform {
        Ok(_) => builder
            .dangerous() // A name for any verifier that is handed in, this strict one too.
            .with_custom_certificate_verifier(Arc::new(verifier(extra_roots, provider)?))
            .with_no_client_auth(),
        Err(error) => {
            warn!(%error, "The system has no root certificates; using those built in");
            builder
                .with_root_certificates(built_in_roots(extra_roots)?)
                .with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands as a client of `host`.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    host: &TargetHost,
    socket: Socket,
) -> Result<TlsStream<Socket>, Failure> {
    let name = server_name(host)?;
    let connected = connector.connect(name, socket).await;
    connected.map_err(|error: io::Error| Failure::handshaking(&error))
}

fn read_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidRoots> {
    let roots = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let roots = roots.map_err(|error| InvalidRoots {
        reason: error.to_string(),
    })?;
    if roots.is_empty() && !pem.trim_ascii().is_empty() {
        let reason = "there is no PEM certificate in them".to_owned();
        return Err(InvalidRoots { reason });
    }
    Ok(roots)
}

fn verifier(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, InvalidRoots> {
    Verifier::new_with_extra_roots(extra_roots, provider).map_err(|error| InvalidRoots {
        reason: error.to_string(),
    })
}

fn built_in_roots(
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, InvalidRoots> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for root in extra_roots {
        roots.add(root).map_err(|error| InvalidRoots {
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn server_name(host: &TargetHost) -> Result<ServerName<'static>, Failure> {
    match host {
        TargetHost::Ip(ip) => Ok(ServerName::from(*ip)),
        TargetHost::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| {
            let detail = "no certificate can have this host name";
            Failure::new(ErrorClass::TlsCertificate, detail)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_certificate_is_no_root() {
        assert!(connector(b"").is_ok());
        assert!(connector(b"\n").is_ok());
        let error = connector(b"certificate").map(|_| ()).unwrap_err();
        assert_eq!(error.reason, "there is no PEM certificate in them");
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(connector(broken).is_err());
    }

    #[test]
    fn the_platforms_absence_has_a_fallback() {
        let roots = built_in_roots(Vec::new()).unwrap();
        assert!(roots.len() > 50);
    }
}
