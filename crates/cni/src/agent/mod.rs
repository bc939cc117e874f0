//! The agent: watches the nodes and keeps this node's routes, masquerading and plugin configuration as they demand.
//!
//! What is wanted is decided in [`plan`], from the nodes and this machine's interfaces alone. Everything it makes is
//! recognisable (a route protocol number, a device, two tables), so a restarted agent takes over what it finds, and
//! `--cleanup` removes it all.

mod apply;
mod plan;

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use api_types::object::Meta;
use api_types::watched;
use clap::Args;
use client::{Informers, Store};
use component::Shutdown;
use futures::StreamExt as _;
use prometheus::{IntCounter, IntGauge};
use rtnetlink::{MulticastGroup, packet_core::NetlinkPayload, packet_route::RouteNetlinkMessage};
use serde::Deserialize;

use crate::plugin::{PluginConf, conflist};
use crate::{link, nft, plugin};

/// The name of the plugin's configuration file.
const CONFLIST: &str = "10-kogge.conflist";

/// After a failure. An interface that is not there yet is the usual one.
const RETRY: Duration = Duration::from_secs(1);

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

static ROUTES: LazyLock<IntGauge> = LazyLock::new(|| {
    let gauge =
        IntGauge::new("kogge_cni_routes", "Number of routes to other nodes' pod ranges.").expect("a valid metric");
    prometheus::register(Box::new(gauge.clone())).ok();
    gauge
});

static FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    let counter =
        IntCounter::new("kogge_cni_sync_failures_total", "Number of times the wanted network could not be made.");
    let counter = counter.expect("a valid metric");
    prometheus::register(Box::new(counter.clone())).ok();
    counter
});

/// The command line.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// How to reach the API server
    #[arg(long, required_unless_present = "cleanup")]
    pub kubeconfig: Option<PathBuf>,
    /// This node's name
    #[arg(long, required_unless_present = "cleanup", default_value = "")]
    pub node_name: String,
    /// Where the container runtime looks for network configurations
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub conf_dir: PathBuf,
    /// Where the plugin remembers addresses
    #[arg(long, default_value = "/run/kogge/cni")]
    pub state_dir: PathBuf,
    /// What the names of nftables tables and devices begin with
    #[arg(long, default_value = "kogge")]
    pub table_prefix: String,
    /// Bytes of a packet in the pod network [default: the node's interface's, less what a tunnel needs]
    #[arg(long)]
    pub mtu: Option<u32>,
    /// Remove everything that this agent and the plugin have made, and end
    #[arg(long)]
    pub cleanup: bool,
}

/// What of a node matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    r#type: String,
    address: String,
}

watched!(Node, "", "v1", "Node", "nodes", cluster);

/// Runs until shutdown. What was made stays: pods go on without the agent.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    if config.cleanup {
        return cleanup(&config).await;
    }
    let kubeconfig = config.kubeconfig.as_deref().context("--kubeconfig is needed")?;
    let client = client::connect(kubeconfig, &component::version::user_agent("cni"))?;
    run_with(client, config, shutdown).await
}

/// Runs with that client until shutdown.
pub async fn run_with(client: kube::Client, config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    fs::create_dir_all(&config.state_dir).with_context(|| format!("making {}", config.state_dir.display()))?;
    enable_forwarding(&config)?;
    let informers = Informers::new(client, u64::from(std::process::id()), shutdown.clone());
    let nodes: Store<Node> = informers.store();
    // Subscribed before the first look, so that no change falls between.
    let mut changes = nodes.subscribe();
    let mut losses = losses()?;
    let work = async {
        nodes.synced().await;
        loop {
            let done = sync(&config, &nodes).await;
            if let Err(error) = &done {
                FAILURES.inc();
                tracing::warn!("cannot make the pod network: {error:#}");
            }
            let retry = async {
                match &done {
                    Ok(()) => std::future::pending().await,
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                _ = changes.next() => {}
                _ = losses.next() => {}
                () = retry => {}
            }
            // One look answers all changes that are there by now.
            while changes.try_next().is_some() {}
        }
    };
    shutdown.or(work).await;
    Ok(())
}

/// Makes what the nodes demand now.
async fn sync(config: &Config, nodes: &Store<Node>) -> anyhow::Result<()> {
    let handle = link::connect()?;
    let seen: Vec<_> = nodes.list().iter().filter_map(|node| seen(node)).collect();
    let Some(own) = seen.iter().find(|node| node.name == config.node_name) else {
        tracing::info!(node = config.node_name, "waiting for the node to have an address and a pod range");
        return Ok(());
    };
    let interfaces = apply::interfaces(&handle).await?;
    let wanted = plan::plan(own, &seen, &interfaces)?;
    apply::routes(&handle, &config.table_prefix, own, &wanted).await?;
    nft::apply(&plan::masquerade(&config.table_prefix, own, &seen)).await?;
    ROUTES.set(i64::try_from(wanted.routes.len()).unwrap_or(i64::MAX));
    let conf = PluginConf {
        pod_cidr: own.pod_cidr.to_string(),
        node_ip: own.ip,
        state_dir: config.state_dir.clone(),
        mtu: config.mtu.unwrap_or(wanted.mtu),
        table_prefix: config.table_prefix.clone(),
    };
    // Last: once it is there the runtime says that the network is ready.
    write_conf(config, &conflist(&conf))
}

/// A node that takes part: one with an IPv4 address and a range.
fn seen(node: &Node) -> Option<plan::Node> {
    let mut internal = node.status.addresses.iter().filter(|address| address.r#type == "InternalIP");
    Some(plan::Node {
        name: node.metadata.name.to_string(),
        ip: internal.find_map(|address| address.address.parse::<Ipv4Addr>().ok())?,
        pod_cidr: node.spec.pod_cidr.parse().ok()?,
    })
}

fn write_conf(config: &Config, text: &str) -> anyhow::Result<()> {
    let path = config.conf_dir.join(CONFLIST);
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    fs::create_dir_all(&config.conf_dir).with_context(|| format!("making {}", config.conf_dir.display()))?;
    // Renamed into place: the runtime watches the folder and must not see half a file.
    let half = config.conf_dir.join(format!(".{CONFLIST}"));
    fs::write(&half, text).with_context(|| format!("writing {}", half.display()))?;
    fs::rename(&half, &path).with_context(|| format!("writing {}", path.display()))?;
    tracing::info!(path = %path.display(), "the pod network is configured");
    Ok(())
}

/// Turns forwarding on, and remembers what it was.
fn enable_forwarding(config: &Config) -> anyhow::Result<()> {
    let before = fs::read_to_string(FORWARDING).with_context(|| format!("reading {FORWARDING}"))?;
    if before.trim() != "1" {
        fs::write(config.state_dir.join("ip_forward"), &before).context("remembering ip_forward")?;
        fs::write(FORWARDING, "1").with_context(|| format!("writing {FORWARDING}"))?;
    }
    Ok(())
}

/// Tells when a route or a device goes away that others may have removed, or an address comes.
fn losses() -> anyhow::Result<impl futures::Stream<Item = ()> + Unpin> {
    let groups = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv4Ifaddr];
    let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups).context("opening a netlink socket")?;
    tokio::spawn(connection);
    Ok(Box::pin(messages.filter_map(|(message, _)| async move {
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(route)) => {
                (route.header.protocol == apply::PROTOCOL).then_some(())
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(_)) => Some(()),
            _ => None,
        }
    })))
}

/// Removes everything, pods' devices included.
async fn cleanup(config: &Config) -> anyhow::Result<()> {
    let handle = link::connect()?;
    apply::remove_all(&handle, &config.table_prefix).await?;
    nft::remove_table(&plan::table(&config.table_prefix)).await?;
    plugin::remove_host_ports(&config.table_prefix).await?;
    if let Ok(before) = fs::read_to_string(config.state_dir.join("ip_forward")) {
        fs::write(FORWARDING, before).with_context(|| format!("restoring {FORWARDING}"))?;
    }
    for removed in [fs::remove_file(config.conf_dir.join(CONFLIST)), fs::remove_dir_all(&config.state_dir)] {
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("removing files"),
            _ => {}
        }
    }
    Ok(())
}
