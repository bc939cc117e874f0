//! Who we are to the API server, and whom we trust to be it: kubeconfig files and in-cluster service accounts.
//!
//! Credential plugins (`exec`, `auth-provider`) are not run here.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::BoxFuture;
use http::HeaderValue;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    dial::Protocol,
    kubeconfig::{self, Kubeconfig},
};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Projected tokens are renewed long before they end.
const READ_TOKEN_EVERY: Duration = Duration::from_secs(60);

/// Everything a kubeconfig says about one connection.
pub(crate) struct User {
    pub server: String,
    pub namespace: String,
    pub tls: Option<ClientTls>,
    pub token: Token,
}

/// Gives a bearer token that is valid now.
pub trait TokenSource: Send + Sync + 'static {
    fn token(&self) -> BoxFuture<'_, anyhow::Result<Arc<str>>>;

    /// The server did not accept the last one: it must not be given again.
    fn rejected(&self) {}
}

#[derive(Clone)]
pub(crate) enum Token {
    None,
    Fixed(HeaderValue),
    File(Arc<TokenFile>),
    Source(Arc<dyn TokenSource>),
}

pub(crate) struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Token {
    pub(crate) async fn bearer(&self) -> anyhow::Result<Option<HeaderValue>> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(header) => Some(header.clone()),
            Self::File(file) => Some(file.header()?),
            Self::Source(source) => Some(bearer(&source.token().await?)?),
        })
    }

    /// The server answered 401: the next request asks for a new token.
    pub(crate) fn rejected(&self) {
        match self {
            Self::None | Self::Fixed(_) => {}
            Self::File(file) => *file.read.lock() = None,
            Self::Source(source) => source.rejected(),
        }
    }

    fn file(path: PathBuf) -> Self {
        Self::File(Arc::new(TokenFile { path, read: Mutex::new(None) }))
    }
}

impl TokenFile {
    fn header(&self) -> anyhow::Result<HeaderValue> {
        let mut read = self.read.lock();
        if let Some((at, header)) = &*read
            && at.elapsed() < READ_TOKEN_EVERY
        {
            return Ok(header.clone());
        }
        let token = fs::read_to_string(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let header = bearer(token.trim())?;
        *read = Some((Instant::now(), header.clone()));
        Ok(header)
    }
}

fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).context("the token is not a header value")?;
    header.set_sensitive(true);
    Ok(header)
}

/// A PEM document, in a file that may be renewed, or given once.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Data(Vec<u8>),
}

impl Pem {
    /// Data wins over a file, as in kubectl.
    fn of(data: Option<&str>, file: Option<&str>, dir: &Path) -> anyhow::Result<Option<Self>> {
        match (data, file) {
            (Some(data), _) => Ok(Some(Self::Data(BASE64_STANDARD.decode(data).context("not base64")?))),
            (None, Some(file)) => Ok(Some(Self::File(dir.join(file)))),
            (None, None) => Ok(None),
        }
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Data(data) => Ok(data.clone()),
            Self::File(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn changed(&self) -> Option<SystemTime> {
        match self {
            Self::Data(_) => None,
            Self::File(path) => fs::metadata(path).and_then(|m| m.modified()).ok(),
        }
    }
}

/// TLS towards the server, following its files: a new connection uses what they hold by then.
pub(crate) struct ClientTls {
    authority: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    verify: bool,
    current: Mutex<Option<Current>>,
}

/// The configuration made of files that had these modification times.
struct Current {
    changed: Vec<Option<SystemTime>>,
    config: Arc<ClientConfig>,
}

impl Clone for ClientTls {
    fn clone(&self) -> Self {
        Self {
            authority: self.authority.clone(),
            identity: self.identity.clone(),
            server_name: self.server_name.clone(),
            verify: self.verify,
            current: Mutex::new(None),
        }
    }
}

impl ClientTls {
    pub(crate) fn without_identity(&self) -> Self {
        Self { identity: None, ..self.clone() }
    }

    pub(crate) async fn handshake(
        &self,
        tcp: TcpStream,
        host: &str,
        protocol: Protocol,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config().map_err(io::Error::other)?;
        if protocol == Protocol::Http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, tcp).await
    }

    fn config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let changed = self.changed();
        let mut current = self.current.lock();
        if let Some(current) = &*current
            && current.changed == changed
        {
            return Ok(current.config.clone());
        }
        match self.load() {
            Ok(config) => {
                let config = Arc::new(config);
                *current = Some(Current { changed, config: config.clone() });
                Ok(config)
            }
            // Files caught in the middle of a renewal: the former ones may still do.
            Err(error) => current.as_ref().map(|current| current.config.clone()).ok_or(error),
        }
    }

    fn changed(&self) -> Vec<Option<SystemTime>> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.authority.iter().chain(identity).map(Pem::changed).collect()
    }

    fn load(&self) -> anyhow::Result<ClientConfig> {
        component::tls::install_provider();
        let builder = if self.verify {
            let mut roots = RootCertStore::empty();
            let authority = self.authority.as_ref().context("no certificate authority is given")?;
            for certificate in certificates(&authority.read()?)? {
                roots.add(certificate).context("unusable certificate authority")?;
            }
            ClientConfig::builder().with_root_certificates(roots)
        } else {
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Unverified))
        };
        Ok(match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(&key.read()?).context("unusable client key")?;
                builder
                    .with_client_auth_cert(certificates(&certificate.read()?)?, key)
                    .context("the client key does not fit its certificate")?
            }
        })
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("not a PEM file of certificates")
}

/// What `insecure-skip-tls-verify` in a kubeconfig asks for.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        CryptoProvider::get_default()
            .map(|provider| provider.signature_verification_algorithms.supported_schemes())
            .unwrap_or_default()
    }
}

pub(crate) fn from_kubeconfig(path: &Path) -> anyhow::Result<User> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
    Kubeconfig::parse(&text)
        .and_then(|config| user_of(&config, path.parent().unwrap_or(Path::new("."))))
        .with_context(|| format!("cannot use kubeconfig {}", path.display()))
}

pub(crate) fn user_of(config: &Kubeconfig, dir: &Path) -> anyhow::Result<User> {
    let current = &config.current_context;
    let context = config.context(current).with_context(|| format!("there is no context \"{current}\""))?;
    let cluster =
        config.cluster(&context.cluster).with_context(|| format!("there is no cluster \"{}\"", context.cluster))?;
    let user = match context.user.as_str() {
        "" => kubeconfig::User::default(),
        name => config.user(name).cloned().with_context(|| format!("there is no user \"{name}\""))?,
    };
    if user.exec.is_some() || user.auth_provider.is_some() {
        bail!("it asks for a credential plugin, which is not supported");
    }
    let pem = |data: &Option<String>, file: &Option<String>, what: &'static str| {
        Pem::of(data.as_deref(), file.as_deref(), dir).context(what)
    };
    let certificate = pem(&user.client_certificate_data, &user.client_certificate, "client-certificate")?;
    let key = pem(&user.client_key_data, &user.client_key, "client-key")?;
    let tls = if cluster.server.starts_with("https:") {
        let tls = ClientTls {
            authority: pem(
                &cluster.certificate_authority_data,
                &cluster.certificate_authority,
                "certificate-authority",
            )?,
            identity: certificate.zip(key),
            server_name: cluster.tls_server_name.clone(),
            verify: !cluster.insecure_skip_tls_verify,
            current: Mutex::new(None),
        };
        tls.config()?;
        Some(tls)
    } else {
        None
    };
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => Token::Fixed(bearer(token)?),
        (None, Some(file)) => Token::file(dir.join(file)),
        (None, None) => Token::None,
    };
    let namespace = context.namespace.clone().unwrap_or_else(|| "default".into());
    Ok(User { server: cluster.server.clone(), namespace, tls, token })
}

pub(crate) fn in_cluster() -> anyhow::Result<User> {
    let env = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: not in a cluster"));
    let (host, port) = (env("KUBERNETES_SERVICE_HOST")?, env("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let dir = Path::new(SERVICE_ACCOUNT);
    let namespace = fs::read_to_string(dir.join("namespace")).unwrap_or_else(|_| "default".into());
    Ok(User {
        server: format!("https://{host}:{port}"),
        namespace: namespace.trim().to_owned(),
        tls: Some(ClientTls {
            authority: Some(Pem::File(dir.join("ca.crt"))),
            identity: None,
            server_name: None,
            verify: true,
            current: Mutex::new(None),
        }),
        token: Token::file(dir.join("token")),
    })
}
