//! TLS of the listener: version 1.2 or later, with a certificate that can be replaced at any time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a certificate and its key cannot be used; finishes no sentence, names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCertificate(String);

impl std::fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidCertificate {}

/// The listener's certificate chain and key, as two PEM files hold them.
///
/// Connections that are open keep what they began with; new ones get what was loaded last.
#[derive(Debug)]
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
    /// The files' bytes when they were last looked at, whether they could be used or not.
    seen: Mutex<Files>,
}

#[derive(Debug, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<Self, InvalidCertificate> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| {
                InvalidCertificate(format!("{} could not be read: {error}", path.display()))
            })
        };
        Ok(Self {
            cert: read(cert)?,
            key: read(key)?,
        })
    }

    fn config(&self) -> Result<Arc<ServerConfig>, InvalidCertificate> {
        let invalid = |what: &str, error: &dyn std::fmt::Display| {
            InvalidCertificate(format!("the {what} cannot be used: {error}"))
        };
        let chain = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid("certificate", &error))?;
        if chain.is_empty() {
            return Err(invalid("certificate", &"there is no PEM certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| invalid("key", &error))?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites of both versions")
            .with_no_client_auth()
            // Refuses a key that is not the certificate's.
            .with_single_cert(chain, key)
            .map_err(|error| invalid("certificate with this key", &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Certificates {
    /// Loads the files.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, InvalidCertificate> {
        let files = Files::read(cert, key)?;
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(files.config()?),
            seen: Mutex::new(files),
        })
    }

    /// Looks at the files again; says whether they are others now and in use from here on.
    ///
    /// When they cannot be used, what was in use stays. The same unusable files are an error
    /// once, so that a timer does not repeat it for ever.
    pub fn reload(&self) -> Result<bool, InvalidCertificate> {
        let files = Files::read(&self.cert, &self.key)?;
        let mut seen = self.seen.lock().expect("no panic while it is held");
        if *seen == files {
            return Ok(false);
        }
        let config = files.config();
        *seen = files;
        *self.current.write().expect("no panic while it is held") = config?;
        Ok(true)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().expect("no panic while it is held");
        TlsAcceptor::from(Arc::clone(&current))
    }
}
