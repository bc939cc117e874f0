//! The segment that joins the nodes: a bridge in this machine's namespace, and a namespace with a veth per further node.
//!
//! The first node is this machine and has the bridge's address, so every node reaches every other one directly, as
//! on one wire, and plain routes between the pods' ranges do. How pods are reached on a node is the CNI's business.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use futures::TryStreamExt;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::layout::Layout;
use crate::options::Spec;

/// All of our devices in this machine's namespace begin with it.
const PREFIX: &str = "kogge";
const BRIDGE: &str = "kogge0";
/// The origin that `kogge-cni` gives its routes, which outlive it.
const AGENT: RouteProtocol = RouteProtocol::Other(107);
const TABLE: &str = "kogge-segment";

/// Makes the segment and the namespaces of the nodes that are missing. Changes nothing where all is there.
pub async fn ensure(layout: &Layout, spec: &Spec) -> anyhow::Result<()> {
    let handle = connect()?;
    ensure_bridge(&handle, spec).await.context("the nodes' bridge")?;
    if spec.nodes.len() > 1 {
        masquerade(spec).await?;
    }
    for node in spec.nodes.iter().filter(|node| !spec.is_host(node)) {
        ensure_node(&handle, layout, spec, node).await.with_context(|| format!("the network of {node}"))?;
    }
    Ok(())
}

/// Removes the segment, with it every route through it, and the other routes of the network agent.
pub async fn remove(layout: &Layout, spec: &Spec) {
    for node in spec.nodes.iter().filter(|node| !spec.is_host(node)) {
        remove_node(layout, spec, node).await;
    }
    let Ok(handle) = connect() else { return };
    delete_link(&handle, BRIDGE).await;
    let mut routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    while let Ok(Some(route)) = routes.try_next().await {
        if route.header.protocol == AGENT
            && let Err(error) = handle.route().del(route).execute().await
        {
            tracing::warn!(%error, "a route cannot be removed");
        }
    }
}

/// Takes a node off the wire for good: its namespace goes when the last process in it has gone.
pub async fn remove_node(layout: &Layout, spec: &Spec, node: &str) {
    if let Ok(handle) = connect() {
        delete_link(&handle, &port(spec, node)).await;
    }
    let netns = layout.node(node).netns();
    let _ = umount2(&netns, MntFlags::MNT_DETACH);
    let _ = std::fs::remove_file(&netns);
}

/// Pulls a node's cable, or puts it back. The node itself sees no difference: its device stays up.
pub async fn connect_node(spec: &Spec, node: &str, connected: bool) -> anyhow::Result<()> {
    let handle = connect()?;
    let port = index(&handle, &port(spec, node)).await?.context("the node has no network: it does not run")?;
    let message = LinkUnspec::new_with_index(port);
    let message = match index(&handle, BRIDGE).await? {
        Some(bridge) if connected => message.controller(bridge),
        _ => message.nocontroller(),
    };
    Ok(handle.link().set(message.build()).execute().await?)
}

async fn ensure_bridge(handle: &Handle, spec: &Spec) -> anyhow::Result<()> {
    let Some(host) = spec.nodes.first() else { return Ok(()) };
    let address = spec.address(host);
    if index(handle, BRIDGE).await?.is_none() {
        handle.link().add(LinkBridge::new(BRIDGE).up().build()).execute().await?;
    }
    let bridge = index(handle, BRIDGE).await?.context("it has gone again")?;
    add_address(handle, bridge, address).await?;
    // Whoever has no default route would not even try to reach a Service; whoever has one would use an address of
    // that route's device, which other nodes may not know the way back to.
    let [a, b, ..] = spec.service_base();
    let service = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::new(a, b, 0, 0), 16)
        .output_interface(bridge)
        .pref_source(address)
        .build();
    handle.route().add(service).replace().execute().await.context("the route of the Services")
}

async fn ensure_node(handle: &Handle, layout: &Layout, spec: &Spec, node: &str) -> anyhow::Result<()> {
    let netns = layout.node(node).netns();
    let port = port(spec, node);
    if index(handle, &port).await?.is_none() || File::open(&netns).is_err() || !is_namespace(&netns) {
        remove_node(layout, spec, node).await;
        std::fs::create_dir_all(layout.node(node).run)?;
        make_namespace(&netns).await?;
        let (address, gateway) = (spec.address(node), spec.nodes.first().map(|first| spec.address(first)));
        let (inside, name) = (netns.clone(), port.clone());
        in_namespace(inside, async move |host| wire_node(&host, &name, address, gateway).await).await?;
        let created = index(handle, &port).await?.context("its device has not arrived")?;
        handle.link().set(LinkUnspec::new_with_index(created).up().build()).execute().await?;
    }
    connect_node(spec, node, true).await
}

/// Runs inside a node's namespace: its devices, its address, and the way out.
async fn wire_node(host: &File, port: &str, address: Ipv4Addr, gateway: Option<Ipv4Addr>) -> anyhow::Result<()> {
    let handle = connect()?;
    for device in ["lo", "eth0"] {
        if device == "eth0" {
            handle.link().add(LinkVeth::new("eth0", port).build()).execute().await?;
        }
        let index = index(&handle, device).await?.with_context(|| format!("no device {device}"))?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    }
    let eth0 = index(&handle, "eth0").await?.context("no device eth0")?;
    add_address(&handle, eth0, address).await?;
    let peer = index(&handle, port).await?.context("no peer")?;
    let away = LinkUnspec::new_with_index(peer).setns_by_fd(host.as_raw_fd()).build();
    handle.link().set(away).execute().await.context("handing the peer over")?;
    let peer_gone = gateway.map(|gateway| RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build());
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("ip_forward")?;
    match peer_gone {
        // The device has a carrier only when its peer is up, but a route needs no carrier.
        Some(route) => handle.route().add(route).execute().await.context("the default route"),
        None => Ok(()),
    }
}

/// Lets further nodes out into the world under this machine's address.
async fn masquerade(spec: &Spec) -> anyhow::Result<()> {
    let [a, b, c] = spec.segment;
    let segment = format!("{a}.{b}.{c}.0/24");
    nft(&format!(
        "add table ip {TABLE}\n\
         delete table ip {TABLE}\n\
         table ip {TABLE} {{\n\
           chain postrouting {{\n\
             type nat hook postrouting priority srcnat\n\
             ip saddr {segment} ip daddr != {{ {segment}, {pods} }} oifname != \"{BRIDGE}\" masquerade\n\
           }}\n\
         }}\n",
        pods = spec.pod_cidr
    ))
    .await
}

/// Deletes every nftables table of ours in this machine's namespace.
pub async fn remove_tables() {
    let Ok(output) = tokio::process::Command::new("nft").args(["list", "tables"]).output().await else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(family), Some(name)) = (words.next(), words.next())
            && (name.starts_with(PREFIX) || name == "kube-proxy")
            && let Err(error) = nft(&format!("delete table {family} {name}\n")).await
        {
            tracing::warn!(table = name, "{error:#}");
        }
    }
}

async fn nft(rules: &str) -> anyhow::Result<()> {
    use tokio::io::AsyncWriteExt;
    let mut command = tokio::process::Command::new("nft");
    let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("nft")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    anyhow::ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Deletes the devices of ours that are left in this machine's namespace, whoever made them.
pub async fn remove_devices() {
    let Ok(handle) = connect() else { return };
    for entry in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(PREFIX)) {
            delete_link(&handle, name).await;
        }
    }
}

/// Name of a further node's end in this machine's namespace.
fn port(spec: &Spec, node: &str) -> String {
    let number = spec.nodes.iter().position(|name| name == node).unwrap_or_default() + 1;
    format!("{PREFIX}-n{number}")
}

fn connect() -> anyhow::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection().context("netlink")?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn index(handle: &Handle, name: &str) -> anyhow::Result<Option<u32>> {
    match handle.link().get().match_name(name.to_owned()).execute().try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking for {name}")),
    }
}

async fn add_address(handle: &Handle, index: u32, address: Ipv4Addr) -> anyhow::Result<()> {
    let add = handle.address().add(index, IpAddr::from(address), 24).replace();
    add.execute().await.with_context(|| format!("adding {address}"))
}

async fn delete_link(handle: &Handle, name: &str) {
    if let Ok(Some(index)) = index(handle, name).await
        && let Err(error) = handle.link().del(index).execute().await
    {
        tracing::warn!(name, %error, "cannot be deleted");
    }
}

fn is_namespace(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

/// A new network namespace, kept by a mount rather than by a process.
async fn make_namespace(path: &Path) -> anyhow::Result<()> {
    File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let path = path.to_owned();
    on_own_thread(move || {
        unshare(CloneFlags::CLONE_NEWNET).context("a new network namespace")?;
        let own = Path::new("/proc/thread-self/ns/net");
        mount(Some(own), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).context("keeping the namespace")
    })
    .await
}

/// Runs `work` on a thread inside the namespace; it is given the namespace of the caller.
async fn in_namespace<F>(path: std::path::PathBuf, work: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(File) -> anyhow::Result<()> + Send + 'static,
{
    on_own_thread(move || {
        let host = File::open("/proc/thread-self/ns/net")?;
        setns(File::open(&path)?, CloneFlags::CLONE_NEWNET).context("entering the namespace")?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(host))
    })
    .await
}

/// A thread that changes its namespace must not serve anybody else afterwards.
async fn on_own_thread(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    result.await.context("the thread has died")?
}
