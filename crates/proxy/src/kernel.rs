//! What the proxy does to the kernel: rules by `nft`, remembered flows by `conntrack`, and one route.

use std::{collections::HashMap, net::IpAddr, process::Stdio, sync::Arc};

use anyhow::{Context, bail};
use futures::future::BoxFuture;
use service_rules::{
    Endpoint, Family, Frontend,
    conntrack::{list_arguments, stale},
    rules::{Cidr, remove_table},
};
use tokio::{io::AsyncWriteExt, process::Command, sync::Notify};

use crate::{
    config::Conntrack,
    route,
    tampering::{self, Own},
};

pub type UdpFrontends = HashMap<Frontend, Vec<Endpoint>>;

/// The kernel; or, in tests, something that remembers what it was told.
pub trait Kernel: Send + Sync + 'static {
    /// Applies one transaction, all of it or nothing.
    fn apply<'a>(&'a self, transaction: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Deletes remembered UDP flows that contradict these frontends and endpoints; how many kinds there were.
    fn forget_stale<'a>(&'a self, wanted: &'a UdpFrontends) -> BoxFuture<'a, anyhow::Result<usize>>;

    /// The machine's own addresses.
    fn addresses(&self) -> Vec<IpAddr>;

    /// Notifies when somebody else deletes something of this table's.
    ///
    /// # Errors
    /// When there will be no notice.
    fn tampering(&self, table: &str) -> anyhow::Result<Arc<Notify>>;

    /// Sees to it that ClusterIPs have a route, given the node's address.
    fn ensure_route(&self, node_ip: IpAddr) -> BoxFuture<'_, anyhow::Result<()>>;
}

/// The kernel of this network namespace.
pub struct Nft {
    service_ranges: Vec<Cidr>,
    own: Own,
}

impl Nft {
    pub fn new(service_ranges: Vec<Cidr>) -> Self {
        Self { service_ranges, own: Own::default() }
    }

    /// Removes all that a proxy with this table's name leaves behind.
    ///
    /// # Errors
    /// When `nft` fails.
    pub async fn clean_up(&self, table: &str) -> anyhow::Result<()> {
        let text: String = Family::ALL.map(|family| remove_table(family, table)).concat();
        self.apply(&text).await?;
        for range in &self.service_ranges {
            route::remove(*range).await?;
        }
        Ok(())
    }
}

impl Kernel for Nft {
    fn apply<'a>(&'a self, transaction: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move { run(&self.own, "nft", &["-f", "-"], transaction).await.map(|_| ()) })
    }

    fn forget_stale<'a>(&'a self, wanted: &'a UdpFrontends) -> BoxFuture<'a, anyhow::Result<usize>> {
        Box::pin(async move {
            let mut count = 0;
            for family in Family::ALL {
                if !wanted.keys().any(|frontend| Family::of(frontend.ip) == family) {
                    continue;
                }
                let flows = run(&self.own, "conntrack", &list_arguments(family), "").await?;
                for stale in stale(&flows, wanted) {
                    count += 1;
                    let arguments = stale.arguments();
                    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                    match run(&self.own, "conntrack", &arguments, "").await {
                        Ok(_) => {}
                        // They have ended by themselves meanwhile.
                        Err(error) if format!("{error:#}").contains("0 flow entries have been deleted") => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(count)
        })
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let interfaces = match nix::ifaddrs::getifaddrs() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::warn!(%error, "cannot read the machine's addresses");
                return Vec::new();
            }
        };
        let ip = |address: nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        interfaces.filter_map(|interface| interface.address.and_then(ip)).collect()
    }

    fn tampering(&self, table: &str) -> anyhow::Result<Arc<Notify>> {
        let notify = Arc::new(Notify::new());
        tampering::watch(table, self.own.clone(), notify.clone())?;
        Ok(notify)
    }

    fn ensure_route(&self, node_ip: IpAddr) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            for range in self.service_ranges.iter().filter(|range| range.address.is_ipv4() == node_ip.is_ipv4()) {
                route::ensure(*range, node_ip).await.with_context(|| format!("cannot add a route for {range}"))?;
            }
            Ok(())
        })
    }
}

/// Runs a program with something to read, and returns what it prints.
async fn run(own: &Own, program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    if let Some(process) = child.id() {
        own.add(process);
    }
    let mut stdin = child.stdin.take().context("no standard input")?;
    let feed = async {
        // A program that ends before it has read all says why on standard error.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first: String = text.lines().take(4).collect::<Vec<_>>().join("; ");
        bail!("{program} failed ({}): {first}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Raises the number of connections that the kernel remembers to upstream's defaults, where this is allowed.
pub fn raise_conntrack_limit(settings: &Conntrack) {
    const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let per_core = settings.max_per_core.unwrap_or(32_768);
    let wanted = (per_core * cores).max(settings.min.unwrap_or(131_072));
    let now = std::fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if per_core != 0
        && now.is_some_and(|now| now < wanted)
        && let Err(error) = std::fs::write(LIMIT, wanted.to_string())
    {
        // Another network namespace than the first has no limit of its own.
        tracing::debug!(%error, wanted, "cannot raise nf_conntrack_max");
    }
}
