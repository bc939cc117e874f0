//! `kctl cluster join`: makes this machine a node of a cluster that is there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::discovery::{Discovered, discover};
use super::files::{KUBELET_KUBECONFIG, PKI};
use super::record::{ClusterSettings, Installation, Role, Root};
use super::{Installed, addons, init, renew, request, step, units, write};
use crate::config::{self, CgroupDriver};
use crate::progress::Progress;
use crate::{addons as objects, machine, up};

#[derive(Clone, Debug, Default)]
pub struct JoinOptions {
    /// What stands for `/`.
    pub root: PathBuf,
    /// `HOST[:PORT]` of an API server.
    pub address: String,
    pub token: String,
    /// Digests of the authority's public key; empty only if the person has said so.
    pub ca_cert_hashes: Vec<String>,
    pub node_name: Option<String>,
    pub node_ip: Option<Ipv4Addr>,
    pub cri_socket: Option<String>,
    pub cgroup_driver: Option<CgroupDriver>,
    /// Only write files.
    pub no_start: bool,
}

/// Learns what the cluster is, asks for this machine's certificates, writes what the units read, and starts them if
/// systemd runs here.
pub async fn join(options: &JoinOptions, progress: &dyn Progress) -> anyhow::Result<Installed> {
    component::tls::install_provider();
    let root = Root(options.root.clone());
    if Installation::load(&root)?.is_some() {
        bail!("this machine is in a cluster already: `kctl cluster down --purge` takes it out");
    }
    let address = with_port(&options.address);
    let of = step(progress, "discovery", async {
        let found = discover(&address, &options.token, &options.ca_cert_hashes).await?;
        let client = token_client(&found, &options.token).await?;
        let of = decide(options, &client, &address).await?;
        Ok(((of, found, client), format!("a cluster at {address}")))
    });
    let (of, found, client) = of.await?;
    let units = units::of(&of);
    let start = !options.no_start && root.is_this_machine() && units::is_running();
    if start {
        machine::require_root()?;
        units::require(&units)?;
        machine::require_ports(&[10250, 10256])?;
    }
    step(progress, "certificates", async {
        certificates(&root, &of, &found, &client).await?;
        Ok(((), "signed".to_owned()))
    })
    .await?;
    write::configuration(&root, &of)?;
    if start {
        start_node(&root, &of, &units, progress).await?;
    }
    Ok(Installed { units, started: start, join: None })
}

async fn start_node(root: &Root, of: &Installation, units: &[&str], progress: &dyn Progress) -> anyhow::Result<()> {
    step(progress, "units", async {
        units::start(units).await?;
        Ok(((), "started".to_owned()))
    })
    .await?;
    step(progress, &of.node.name, async {
        let client = client::connect(&root.at(KUBELET_KUBECONFIG), "kctl")?;
        let state = up::node_ready(client, of.node.name.clone()).await?;
        Ok(((), state))
    })
    .await
}

/// What the cluster says of itself, and this machine's place in it.
async fn decide(options: &JoinOptions, client: &kube::Client, address: &str) -> anyhow::Result<Installation> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let settings = maps.get(addons::SETTINGS).await.map_err(objects::in_a_line)?;
    let settings = settings.data.as_ref().and_then(|data| data.get("cluster.json"));
    let settings = settings.with_context(|| format!("kube-system/{} says nothing", addons::SETTINGS))?;
    let cluster: ClusterSettings = serde_json::from_str(settings).context("what the cluster says of itself")?;
    let own = options.node_ip.or_else(|| address_towards(address));
    let mut node = init::node_settings(own, options.node_name.clone())?;
    node.cri_socket.clone_from(&options.cri_socket);
    node.cgroup_driver = options.cgroup_driver.unwrap_or(node.cgroup_driver);
    let of = Installation { role: Role::Worker, cluster, node };
    of.check()?;
    let nodes: Api<Node> = Api::all(client.clone());
    let there = nodes.get_opt(&of.node.name).await.map_err(objects::in_a_line)?;
    ensure!(
        !there.is_some_and(|node| up::is_ready(&node)),
        "a Node with name \"{}\" and status \"Ready\" already exists in the cluster. You must delete the existing Node or \
         change the name of this new joining Node",
        of.node.name
    );
    Ok(of)
}

/// First, with the token, the certificate that makes this machine a node; then, as that node, all others.
async fn certificates(root: &Root, of: &Installation, found: &Discovered, client: &kube::Client) -> anyhow::Result<()> {
    crate::pki::write(&root.at(PKI).join("ca.crt"), &found.ca, 0o644)?;
    let user = format!("system:node:{}", of.node.name);
    let own = request::request(client, &request::kubelet(&user)).await.context("the kubelet's certificate")?;
    write::identity(root, &own.certificate, &own.key)?;
    let text = config::portable_kubeconfig(
        &found.server,
        found.ca.as_bytes(),
        own.certificate.as_bytes(),
        own.key.as_bytes(),
        "default-auth",
    );
    let client = connect(&text).await?;
    renew::of_node(root, of, &client).await.map(drop)
}

async fn token_client(found: &Discovered, token: &str) -> anyhow::Result<kube::Client> {
    connect(&config::token_kubeconfig(&found.server, &found.ca, token, "tls-bootstrap-token-user")).await
}

async fn connect(kubeconfig: &str) -> anyhow::Result<kube::Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

fn with_port(address: &str) -> String {
    let address = address.trim_start_matches("https://").trim_end_matches('/');
    if address.contains(':') { address.to_owned() } else { format!("{address}:{}", super::record::PORT) }
}

/// The address that this machine would use to reach the API server: the one the others know the way back to.
fn address_towards(server: &str) -> Option<Ipv4Addr> {
    let server = server.to_socket_addrs().ok()?.find(SocketAddr::is_ipv4)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(server).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}
