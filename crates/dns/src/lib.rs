//! The cluster's DNS: answers from its own watches, by the Kubernetes DNS specification 1.1.0, and forwards the rest.
//!
//! The brain is [`zone`]: a pure function from a question and what is known to an answer. Around it are the caches
//! (`view`), the server (`server`), the way to other servers (`forward`), and health and metrics under the names that
//! CoreDNS has made known. Deliberately absent: zone files, plugins, DNSSEC.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use client::Informers;
use component::Shutdown;
use tokio::net::{TcpListener, UdpSocket};

mod forward;
mod metrics;
mod objects;
mod server;
mod side;
mod view;
pub mod zone;

/// The command line.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// How to reach the API server; as the pod's service account unless given
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    pub bind: IpAddr,
    #[arg(long, default_value_t = 53)]
    pub port: u16,
    /// Servers for all other names [default: those of /etc/resolv.conf]
    #[arg(long, value_delimiter = ',')]
    pub upstream: Vec<IpAddr>,
    #[arg(long, default_value_t = 8080)]
    pub health_port: u16,
    #[arg(long, default_value_t = 8181)]
    pub ready_port: u16,
    #[arg(long, default_value_t = 9153)]
    pub metrics_port: u16,
}

/// Everything the server is made of besides its configuration.
pub struct Parts {
    pub client: kube::Client,
    pub udp: UdpSocket,
    pub tcp: TcpListener,
    pub upstream: Vec<IpAddr>,
    /// Spreads the retries of several instances.
    pub seed: u64,
}

/// Connects, listens and serves until shutdown begins.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let client = match &config.kubeconfig {
        Some(kubeconfig) => client::connect(kubeconfig, "kogge-dns")?,
        None => client::connect_in_cluster("kogge-dns")?,
    };
    let address = SocketAddr::from((config.bind, config.port));
    let upstream = match config.upstream.is_empty() {
        true => forward::system_servers(),
        false => config.upstream.clone(),
    };
    let parts = Parts {
        client,
        udp: UdpSocket::bind(address).await.with_context(|| format!("listening on {address} (UDP)"))?,
        tcp: TcpListener::bind(address).await.with_context(|| format!("listening on {address} (TCP)"))?,
        upstream,
        seed: u64::from(std::process::id()),
    };
    run_with(parts, config, shutdown).await
}

/// Serves over the given parts until shutdown begins.
pub async fn run_with(parts: Parts, config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let informers = Informers::new(parts.client, parts.seed, shutdown.clone());
    let view = view::Caches::new(&informers);
    let side = side::run(&config, view.clone(), shutdown.clone());
    let handler = server::Handler {
        zone: zone::Zone::new(&config.cluster_domain)?,
        view: view.clone(),
        forwarder: forward::Forwarder::new(&parts.upstream)?,
        turn: Default::default(),
    };
    let serve = server::run(Arc::new(handler), parts.udp, parts.tcp, shutdown);
    tokio::try_join!(side, serve).map(|_| ())
}
