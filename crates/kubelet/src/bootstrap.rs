//! The kubelet's certificates from the API: that of its client, asked for with bootstrap credentials when there is none,
//! and with `serverTLSBootstrap` that of its port. Each is renewed when four fifths of its life have passed.

use crate::config::Config;
use anyhow::{Context as _, bail};
use api_types::{
    k8s_openapi::{ByteString, api::certificates::v1::CertificateSigningRequest},
    object::Watched,
};
use client::{Api, Event, Informers, Jitter, Target};
use component::{Clock, Shutdown, SystemClock};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::IpAddr,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

/// A certificate that the API signs for kubelets. Each is one file with its key, so that they change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Client,
    Server,
}

impl Kind {
    fn signer(self) -> &'static str {
        match self {
            Kind::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Kind::Server => "kubernetes.io/kubelet-serving",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Kind::Client => "client auth",
            Kind::Server => "server auth",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Client => "kubelet-client",
            Kind::Server => "kubelet-server",
        }
    }

    /// A link to the newest.
    pub fn current(self, directory: &Path) -> PathBuf {
        directory.join(format!("{}-current.pem", self.prefix()))
    }
}

/// How long a request may wait for its approval before it is made anew.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The kubeconfig to use, after a bootstrap if one is needed.
pub async fn ensure_kubeconfig(config: &Config, shutdown: &Shutdown) -> anyhow::Result<PathBuf> {
    let path = config.kubeconfig.clone().context("--kubeconfig is missing")?;
    if path.exists() {
        return Ok(path);
    }
    let Some(bootstrap) = &config.bootstrap_kubeconfig else {
        bail!("{} does not exist, and there is no --bootstrap-kubeconfig", path.display());
    };
    tracing::info!("asking for a client certificate");
    let client = client::connect(bootstrap, &component::version::user_agent("kubelet"))?;
    let asking = async {
        let mut backoff = client::Backoff::new(RETRY, LONGEST_RETRY);
        loop {
            match request(Kind::Client, config, &config.node_ips, &client).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("no client certificate yet: {error:#}"),
            }
            tokio::time::sleep(backoff.next(&Jitter::from_name(&config.node_name))).await;
        }
    };
    shutdown.or(asking).await.context("stopped while waiting for a client certificate")?;
    write_kubeconfig(config, bootstrap, &path)?;
    Ok(path)
}

/// Keeps the certificates for as long as the kubelet runs; does nothing for those that were not made here.
pub async fn rotate(config: Config, addresses: Vec<IpAddr>, client: kube::Client) {
    let client_due = config.file.rotate_certificates && Kind::Client.current(&config.cert_dir).exists();
    let keeping = |kind: Kind, wanted: bool| {
        let (config, addresses, client) = (&config, &addresses, &client);
        async move {
            if wanted {
                keep(kind, config, addresses, client).await;
            }
        }
    };
    tokio::join!(keeping(Kind::Client, client_due), keeping(Kind::Server, config.file.server_tls_bootstrap));
}

async fn keep(kind: Kind, config: &Config, addresses: &[IpAddr], client: &kube::Client) {
    let current = kind.current(&config.cert_dir);
    let jitter = Jitter::from_name(&config.node_name);
    let mut backoff = client::Backoff::new(RETRY, LONGEST_RETRY);
    loop {
        let due = match due(&current) {
            Ok(due) => due,
            Err(error) => {
                return tracing::warn!(kind = kind.prefix(), "cannot tell when a certificate ends: {error:#}");
            }
        };
        let left = Duration::try_from(due.duration_since(SystemClock.now())).unwrap_or_default();
        tokio::time::sleep(left).await;
        match request(kind, config, addresses, client).await {
            Ok(()) => {
                backoff.reset();
                tracing::info!(kind = kind.prefix(), "certificate renewed");
            }
            Err(error) => {
                tracing::warn!(kind = kind.prefix(), "cannot renew a certificate: {error:#}");
                tokio::time::sleep(backoff.next(&jitter)).await;
            }
        }
    }
}

/// Four fifths of the certificate's life after its beginning; at once for one that nobody signed.
fn due(path: &Path) -> anyhow::Result<Timestamp> {
    let pem = fs::read(path)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem)?;
    let certificate = pem.parse_x509()?;
    if certificate.issuer() == certificate.subject() {
        return Ok(Timestamp::UNIX_EPOCH);
    }
    let validity = certificate.validity();
    let begin = Timestamp::from_second(validity.not_before.timestamp())?;
    let end = Timestamp::from_second(validity.not_after.timestamp())?;
    Ok(begin.saturating_add(SignedDuration::from_secs(end.duration_since(begin).as_secs() * 4 / 5))?)
}

/// Makes a key and a request, waits for the certificate, and puts both in place at once.
async fn request(kind: Kind, config: &Config, addresses: &[IpAddr], client: &kube::Client) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let names = match kind {
        Kind::Client => vec![],
        Kind::Server => {
            let addresses = addresses.iter().map(ToString::to_string);
            [config.node_name.clone()].into_iter().chain(addresses).collect()
        }
    };
    let mut params = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "system:nodes");
    name.push(DnType::CommonName, format!("system:node:{}", config.node_name));
    params.distinguished_name = name;
    let pem = params.serialize_request(&key)?.pem()?;
    let api = Api::from(client.clone());
    let body = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {"request": ByteString(pem.into_bytes()), "signerName": kind.signer(), "usages": ["digital signature", kind.usage()]}});
    let made: Value = api
        .create(&CertificateSigningRequest::RESOURCE, "", &body)
        .await
        .context("cannot make a CertificateSigningRequest")?;
    let made = made["metadata"]["name"].as_str().context("the request has no name")?.to_owned();
    let chain =
        tokio::time::timeout(PATIENCE, signed(client, &made)).await.context("nobody approved the request")??;
    install(kind, &config.cert_dir, &chain, &key.serialize_pem())
}

async fn signed(client: &kube::Client, name: &str) -> anyhow::Result<Vec<u8>> {
    let shutdown = Shutdown::new();
    let informers = Informers::new(client.clone(), 0, shutdown.clone());
    let store = informers.store_of::<CertificateSigningRequest>(
        Target::of::<CertificateSigningRequest>().fields(&format!("metadata.name={name}")),
    );
    let mut changes = store.subscribe();
    let outcome = loop {
        let Event::Applied { new, .. } = changes.next().await else {
            break Err(anyhow::anyhow!("the request was deleted"));
        };
        let Some(status) = &new.status else { continue };
        let refused = status.conditions.iter().flatten().find(|c| c.type_ == "Denied" || c.type_ == "Failed");
        if let Some(refused) = refused {
            break Err(anyhow::anyhow!("the request was refused: {}", refused.message.as_deref().unwrap_or_default()));
        }
        if let Some(certificate) = status.certificate.as_ref().filter(|c| !c.0.is_empty()) {
            break Ok(certificate.0.clone());
        }
    };
    shutdown.begin();
    outcome
}

/// Takes the place of the one before at once.
pub fn install(kind: Kind, directory: &Path, chain: &[u8], key: &str) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    let stamp = SystemClock.now().strftime("%Y-%m-%d-%H-%M-%S").to_string();
    let path = directory.join(format!("{}-{stamp}.pem", kind.prefix()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(chain)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    let fresh = directory.join(format!("{}-current.pem.new", kind.prefix()));
    if fresh.is_symlink() {
        fs::remove_file(&fresh)?;
    }
    symlink(&path, &fresh)?;
    fs::rename(&fresh, kind.current(directory))?;
    Ok(())
}

/// The bootstrap file's cluster with our own user.
fn write_kubeconfig(config: &Config, bootstrap: &Path, path: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(bootstrap)?;
    let mut value = component::config::yaml(&text)?;
    let current = Kind::Client.current(&config.cert_dir);
    let cluster = value["clusters"][0]["name"].clone();
    value["users"] = json!([{"name": "default-auth", "user": {"client-certificate": current, "client-key": current}}]);
    value["contexts"] = json!([{"name": "default-context", "context": {"cluster": cluster, "user": "default-auth"}}]);
    value["current-context"] = json!("default-context");
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // JSON is YAML.
    Ok(file.write_all(serde_json::to_string_pretty(&value)?.as_bytes())?)
}
