//! The proxy's body: it watches Services, EndpointSlices and its own Node, and keeps the kernel's rules as the brain in
//! `service-rules` wants them.
//!
//! There is no timer between a change and the rules: while one transaction is under way, what comes in is gathered for
//! the next. Nothing is undone when the proxy ends: traffic keeps flowing, and the next one takes over what is there.

pub mod config;
pub mod health;
pub mod kernel;
mod metrics;
mod route;
mod sync;
mod tampering;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Parser;
use client::{Informers, Target};
use component::{Clock, Shutdown, SystemClock, logging::LogOptions, tls, version};
use service_rules::{
    object::{EndpointSlice, Node, Service},
    rules::Cidr,
};

use crate::{
    config::KubeProxyConfiguration,
    health::Health,
    kernel::{Kernel, Nft},
    sync::Sync,
};

/// Makes Services work on this node, with nftables.
#[derive(Clone, Debug, Parser)]
#[command(name = "kogge-proxy", version)]
pub struct Options {
    /// KubeProxyConfiguration file (kubeproxy.config.k8s.io/v1alpha1)
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How to reach the API server; overrides clientConnection.kubeconfig
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The name of this node; overrides hostnameOverride
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// Name of the nftables tables
    #[arg(long, default_value = "kogge-proxy")]
    pub table: String,
    /// Ranges of ClusterIPs, separated by commas. A node without a default route gets a route for them
    #[arg(long, value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<Cidr>,
    /// Remove all rules and exit
    #[arg(long)]
    pub cleanup: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

/// What [`run_with`] is given: in a simulation these are not the real ones.
pub struct Parts {
    pub client: kube::Client,
    pub clock: Arc<dyn Clock>,
    pub kernel: Arc<dyn Kernel>,
    /// Of pauses before retries.
    pub seed: u64,
    pub node_name: String,
}

/// The proxy as configured, until shutdown.
///
/// # Errors
/// When the configuration cannot be used or a port cannot be opened.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    let kernel = Arc::new(Nft::new(options.service_cluster_ip_range.clone()));
    if options.cleanup {
        return kernel.clean_up(&options.table).await;
    }
    tls::install_provider();
    let mut file = match &options.config {
        Some(path) => component::config::load(path, config::ACCEPTED)?,
        None => KubeProxyConfiguration::default(),
    };
    if let Some(name) = &options.hostname_override {
        file.hostname_override.clone_from(name);
    }
    let named = Some(&file.client_connection.kubeconfig).filter(|path| !path.is_empty()).map(PathBuf::from);
    let kubeconfig = options.kubeconfig.clone().or(named).context("--kubeconfig is needed")?;
    let node_name = match file.hostname_override.as_str() {
        "" => nix::unistd::gethostname().context("cannot read the host name")?.to_string_lossy().to_lowercase(),
        name => name.to_owned(),
    };
    kernel::raise_conntrack_limit(&file.conntrack);
    let clock = SystemClock;
    let parts = Parts {
        client: client::connect(&kubeconfig, &version::user_agent("kogge-proxy"))?,
        seed: clock.now().as_nanosecond() as u64 ^ u64::from(std::process::id()),
        clock: Arc::new(clock),
        kernel,
        node_name,
    };
    let health = Health::new(parts.clock.clone());
    tokio::try_join!(
        run_with(parts, file.clone(), options.table.clone(), health.clone(), shutdown.clone()),
        health::serve(health, &file, shutdown),
    )?;
    Ok(())
}

/// The proxy over the given parts, until shutdown.
///
/// # Errors
/// When the configuration asks for what this proxy does not have.
pub async fn run_with(
    parts: Parts,
    file: KubeProxyConfiguration,
    table: String,
    health: Arc<Health>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    component::metrics::init("kube-proxy");
    let settings = file.settings(&table, &parts.node_name).context("in the proxy's configuration")?;
    let informers = Informers::new(parts.client.clone(), parts.seed, shutdown.clone());
    // Headless services and those of other proxies are none of ours.
    let ours = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
    let own_node = format!("metadata.name={}", parts.node_name);
    let sync = Sync::new(
        informers.store_of::<Service>(Target::of::<Service>().labels(ours)),
        informers.store_of::<EndpointSlice>(Target::of::<EndpointSlice>().labels(ours)),
        informers.store_of::<Node>(Target::of::<Node>().fields(&own_node)),
        settings,
        file.node_port_addresses()?,
        parts,
        health,
    );
    shutdown.or(sync.run()).await;
    Ok(())
}
