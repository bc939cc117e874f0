//! An API server in this process, as a kubectl finds it.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use apiserver::{Config, Parts, random::Random};
use clap::Parser;
use component::{
    Clock, Identity, Shutdown,
    serve::{self, Peer},
};
use e2e::shell::Shell;
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use store::memory::Memory;
use tokio::net::TcpListener;

/// A server on an empty store is ready in far less.
const READY: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// A clock that stands still.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Runs `work` with a shell in which `kubectl` is the given one and talks to a new and empty server. `$M` is the folder of
/// manifests, seen from the project's.
pub fn with(version: &str, kubectl: &Path, work: impl FnOnce(&Shell)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let home = std::env::temp_dir().join(format!("kogge-kubectl-{version}-{}", std::process::id()));
    let bin = home.join("bin");
    fs::create_dir_all(&bin)?;
    std::os::unix::fs::symlink(kubectl, bin.join("kubectl")).context("cannot link kubectl")?;
    credentials(&home)?;
    let shutdown = Shutdown::new();
    let port = runtime.block_on(serve(&shutdown, &home.join("tls.key")))?;
    let kubeconfig = home.join("config");
    fs::write(&kubeconfig, config(port))?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let shell = Shell::default()
        .with("PATH", path)
        .with("HOME", &home)
        .with("KUBECONFIG", &kubeconfig)
        .with("KUBECTL_EXTERNAL_DIFF", "diff -u --label before --label after")
        .with("M", "e2e/tests/kubectl/manifests");
    work(&shell);
    shutdown.begin();
    runtime.shutdown_background();
    fs::remove_dir_all(&home).context("cannot remove the home folder")
}

/// What people bring along: `tls.crt` with `tls.key`, and `ann.csr`, a request for a certificate.
fn credentials(home: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let site = CertificateParams::new(vec!["example.com".to_owned()])?;
    fs::write(home.join("tls.crt"), site.self_signed(&key)?.pem())?;
    fs::write(home.join("tls.key"), key.serialize_pem())?;
    let mut person = CertificateParams::default();
    person.distinguished_name = DistinguishedName::new();
    person.distinguished_name.push(DnType::CommonName, "ann");
    fs::write(home.join("ann.csr"), person.serialize_request(&key)?.pem()?)?;
    Ok(())
}

/// Answers the port once the server is ready. `key` signs the tokens of service accounts.
async fn serve(shutdown: &Shutdown, key: &Path) -> anyhow::Result<u16> {
    let clock = Still("2026-01-02T03:04:05Z".parse()?);
    let parts = Parts { backend: Arc::new(Memory::new()), clock: Arc::new(clock), random: Arc::new(Random::seeded(1)) };
    let mut config = Flags::parse_from(["kogge-apiserver", "--advertise-address", "192.0.2.7"]).config;
    config.service_account_signing_key_file = Some(key.to_owned());
    let running = apiserver::run_with(parts, config, shutdown.clone()).await?;
    let is_ready = || running.checks.answer("/readyz", None).is_some_and(|answer| answer.status().is_success());
    let ready = async {
        while !is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(READY, ready).await.context("the server does not become ready")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        // The server of these tests trusts who connects; certificates are tested elsewhere.
        let identity = Identity { user: "admin".into(), groups: vec!["system:masters".into()], ..Identity::default() };
        while let Ok((stream, address)) = listener.accept().await {
            let peer = Peer { address: Some(address), identity: Some(identity.clone()), ..Peer::default() };
            tokio::spawn(serve::stream(stream, peer, running.server.clone(), shutdown.clone()));
        }
    });
    Ok(port)
}

fn config(port: u16) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "admin", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "demo"}}],
    })
    .to_string()
}
