//! The API server: the only one who speaks to etcd, and the one everybody speaks to.
//!
//! Read [`server`] first: one function shows the whole way of a request. What a kind allows is decided in `api-rules`;
//! what is stored and cached, in `store`. Here are the wire, the order of things, and the answers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use component::{Clock, Shutdown, SystemClock, health::Checks, serve, tls};
use store::{
    Backend,
    etcd::{Etcd, EtcdOptions},
};
use tokio::{net::TcpListener, task::JoinHandle};

pub mod admission;
pub mod answer;
pub mod app;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod claims;
pub mod config;
pub mod core;
mod custom;
pub mod discovery;
mod gzip;
pub mod metrics;
pub mod negotiate;
pub mod node_proxy;
pub mod openapi;
mod paths;
mod pretty;
mod protobuf;
pub mod query;
mod quota;
pub mod random;
pub mod registry;
mod render;
pub mod request;
pub mod request_info;
pub mod rest;
pub mod reviews;
pub mod server;
pub mod service_alloc;
#[cfg(test)]
mod test_core;
pub mod tokens;
mod turns;
mod version;

pub use config::Config;
pub use server::Server;

/// Open requests have this long to finish when the server goes; watches are told at once.
const DRAIN: Duration = Duration::from_secs(10);
/// How long taking leave may take; then the sign of life ends by itself.
const LEAVE: Duration = Duration::from_secs(2);
/// How often readiness asks etcd.
const LOOK_AT_ETCD: Duration = Duration::from_secs(2);

/// What the server runs on.
pub struct Parts {
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<random::Random>,
}

/// A server that answers, and what it answers on.
pub struct Running {
    pub server: Arc<Server>,
    pub checks: Arc<Checks>,
    /// Ends once shutdown has begun and clients are led to the other servers.
    pub background: JoinHandle<()>,
}

/// Serves on the configured port until shutdown begins.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    component::metrics::init("apiserver");
    tls::install_provider();
    let backend = Arc::new(Etcd::connect(&etcd_options(&config)?).await.context("cannot reach etcd")?);
    let parts = Parts { backend, clock: Arc::new(SystemClock), random: Arc::new(random::Random::from_system()) };
    let listener = listen(&config).await?;
    let tls = match (&config.tls_cert_file, &config.tls_private_key_file) {
        (Some(cert), Some(key)) => {
            let client_ca = config.client_ca_file.clone();
            tls::ServerTls::new(tls::TlsFiles { cert: cert.clone(), key: key.clone(), client_ca })?
        }
        _ => anyhow::bail!("--tls-cert-file and --tls-private-key-file are needed"),
    };
    let running = run_with(parts, config, shutdown.clone()).await?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    serve::listen(listener, Some(tls), running.server, shutdown, DRAIN).await;
    running.background.await.context("the background tasks")
}

/// Puts a server together on the given parts and starts its background tasks; they end with `shutdown`.
///
/// The caller serves connections: TCP with [`serve::listen`], any other stream with [`serve::stream`].
pub async fn run_with(parts: Parts, config: Config, shutdown: Shutdown) -> anyhow::Result<Running> {
    let checks = Checks::new();
    let core = Arc::new(core::Core::start(config, parts.clock, parts.random, parts.backend));
    let app = app::App::assemble(core, checks.clone(), shutdown.clone())?;
    watch_health(&app, &shutdown);
    custom::start(&app, app.definitions.clone(), &shutdown);
    let bootstrapped = checks.flag("poststarthook/bootstrap");
    let booted = app.clone();
    let background = tokio::spawn(async move {
        shutdown.or(bootstrap_until_done(&booted, &bootstrapped)).await;
        if bootstrapped.get() {
            let left = tokio::time::timeout(LEAVE, bootstrap::leave(&booted.core, &booted.services)).await;
            tracing::debug!(?left, "left the cluster");
        }
    });
    Ok(Running { server: Server::new(app), checks, background })
}

/// Writes what every cluster has, as often as it takes, and keeps the way to the server itself.
async fn bootstrap_until_done(app: &app::App, done: &component::health::Flag) {
    app.core.store.ready().await;
    while let Err(why) = bootstrap::run(&app.core, &app.services).await {
        tracing::warn!("the first objects could not be written: {why:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    app.authorizer.ready().await;
    done.set(true);
    bootstrap::keep(&app.core, &app.services).await;
}

/// Keeps the checks `etcd`, `informer-sync` and `shutdown` true.
fn watch_health(app: &Arc<app::App>, shutdown: &Shutdown) {
    let core = app.core.clone();
    app.checks
        .add("informer-sync", move || if core.store.is_ready() { Ok(()) } else { Err("the cache is loading".into()) });
    let begun = shutdown.clone();
    app.checks.add("shutdown", move || if begun.has_begun() { Err("shutting down".into()) } else { Ok(()) });
    let (core, shutdown, etcd) = (app.core.clone(), shutdown.clone(), app.checks.flag("etcd"));
    tokio::spawn(async move {
        let look = async {
            loop {
                etcd.set(core.store.ping().await.is_ok());
                tokio::time::sleep(LOOK_AT_ETCD).await;
            }
        };
        shutdown.or(look).await;
    });
}

fn etcd_options(config: &Config) -> anyhow::Result<EtcdOptions> {
    let read = |path: &Option<std::path::PathBuf>| {
        let read =
            |path| std::fs::read(path).with_context(|| format!("cannot read {}", std::path::Path::display(path)));
        path.as_deref().map(read).transpose()
    };
    let identity = read(&config.etcd_certfile)?.zip(read(&config.etcd_keyfile)?);
    Ok(EtcdOptions { servers: config.etcd_servers.clone(), ca: read(&config.etcd_cafile)?, identity })
}

async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.bind_address, config.secure_port);
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
