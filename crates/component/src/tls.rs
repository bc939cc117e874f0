//! TLS for servers: certificates from files that may be renewed while we run, and who the peer is.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::access::Identity;

/// How often, at most, a new connection looks whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Makes aws-lc-rs the process's one provider; harmless when called again.
pub fn install_provider() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is installed already");
    }
}

#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Authorities of client certificates. A certificate is asked for, not required.
    pub client_ca: Option<PathBuf>,
}

/// A server's TLS configuration that follows its files.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

struct Seen {
    looked: Instant,
    changed: Vec<Option<SystemTime>>,
}

impl ServerTls {
    /// # Errors
    /// When a file cannot be read or the key does not fit the certificate.
    pub fn new(files: TlsFiles) -> anyhow::Result<Self> {
        install_provider();
        let seen = Seen { looked: Instant::now(), changed: files.changed() };
        let current = ArcSwap::from_pointee(files.load()?);
        Ok(Self(Arc::new(Inner { files, current, seen: Mutex::new(seen) })))
    }

    /// The configuration for a new connection. New files that cannot be used leave the former ones in force.
    pub fn config(&self) -> Arc<ServerConfig> {
        if self.0.files_changed() {
            match self.0.files.load() {
                Ok(config) => {
                    tracing::info!(cert = %self.0.files.cert.display(), "serving certificate reloaded");
                    self.0.current.store(Arc::new(config));
                }
                Err(error) => tracing::warn!("cannot reload the serving certificate: {error:#}"),
            }
        }
        self.0.current.load_full()
    }
}

impl Inner {
    fn files_changed(&self) -> bool {
        let mut seen = self.seen.lock();
        if seen.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        seen.looked = Instant::now();
        let changed = self.files.changed();
        std::mem::replace(&mut seen.changed, changed.clone()) != changed
    }
}

impl TlsFiles {
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        files.into_iter().flatten().map(|f| fs::metadata(f).and_then(|m| m.modified()).ok()).collect()
    }

    fn load(&self) -> anyhow::Result<ServerConfig> {
        let builder = ServerConfig::builder();
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots(file)?)).allow_unauthenticated().build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(certificates(&self.cert)?, private_key(&self.key)?)
            .with_context(|| format!("{} does not fit {}", self.key.display(), self.cert.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// All certificates of a PEM file, in order.
pub fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).with_context(|| format!("cannot read {}", path.display()))?.collect();
    let found = found.with_context(|| format!("{} is not a PEM file of certificates", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(found)
}

pub fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).with_context(|| format!("cannot read a private key from {}", path.display()))
}

/// The authorities of a PEM file.
pub fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("{} holds an unusable authority", path.display()))?;
    }
    Ok(roots)
}

/// Who a client certificate says its holder is: the common name is the user, organisations are groups.
///
/// The certificate must have been verified.
///
/// # Errors
/// When the certificate cannot be parsed or has no common name.
pub fn identity(certificate: &CertificateDer<'_>) -> io::Result<Identity> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| invalid(e.to_string()))?;
    let subject = parsed.subject();
    let user = subject
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| invalid("the certificate has no common name".into()))?;
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    groups.push("system:authenticated".into());
    Ok(Identity { user: user.to_owned(), groups, ..Identity::default() })
}
