//! What this machine has, read from it: processors, memory, disk, and who it is.

use crate::config::Config;
use anyhow::Context as _;
use api_types::{Quantity, k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire, quantity::Format};
use pod_lifecycle::{core::NodeSystemInfo, resources::Resources};
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, UdpSocket},
    path::Path,
};

#[derive(Clone, Debug)]
pub struct Machine {
    pub capacity: Resources,
    /// Capacity without what is reserved for the system, the kubelet and eviction.
    pub allocatable: Resources,
    pub info: NodeSystemInfo,
    pub addresses: Vec<IpAddr>,
    pub signals: Signals,
    /// The kernel enforces AppArmor profiles.
    pub apparmor: bool,
}

/// Whether what is left of memory and disk can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    Kernel,
    /// Nothing is ever short.
    None,
}

impl Machine {
    pub fn read(config: &Config) -> anyhow::Result<Self> {
        let cpus = processors()?;
        let memory = memory()?;
        fs::create_dir_all(&config.root_dir).with_context(|| format!("cannot make {}", config.root_dir.display()))?;
        let disk = nix::sys::statvfs::statvfs(&config.root_dir)
            .context("cannot read the size of the root directory's file system")?;
        let disk = i64::try_from(disk.blocks() as u64 * disk.fragment_size() as u64).unwrap_or(i64::MAX);
        let addresses = if config.node_ips.is_empty() { own_addresses() } else { config.node_ips.clone() };
        let machine = Self::with(config, cpus, memory, disk, system_info(), addresses)?;
        let apparmor =
            fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|on| on.starts_with('Y'));
        Ok(Self { signals: Signals::Kernel, apparmor, ..machine })
    }

    /// A machine of that size; what the simulation uses.
    pub fn with(
        config: &Config,
        cpu_milli: i64,
        memory: i64,
        disk: i64,
        info: NodeSystemInfo,
        addresses: Vec<IpAddr>,
    ) -> anyhow::Result<Self> {
        let mut capacity = BTreeMap::new();
        capacity.insert("cpu".to_owned(), Quantity::from_milli(cpu_milli));
        capacity.insert("memory".to_owned(), Quantity::from_value(memory / 1024 * 1024, Format::BinarySi));
        capacity.insert("ephemeral-storage".to_owned(), Quantity::from_value(disk / 1024 * 1024, Format::BinarySi));
        capacity.insert("pods".to_owned(), Quantity::from_value(i64::from(config.file.max_pods), Format::DecimalSi));
        let mut allocatable = capacity.clone();
        let hard = config.file.hard_thresholds();
        let eviction = [("memory.available", "memory"), ("nodefs.available", "ephemeral-storage")];
        let eviction =
            eviction.into_iter().filter_map(|(signal, name)| Some((name.to_owned(), hard.get(signal)?.clone())));
        let reserved =
            config.file.system_reserved.clone().into_iter().chain(config.file.kube_reserved.clone()).chain(eviction);
        for (name, amount) in reserved {
            let Some(total) = capacity.get(&name) else { continue };
            let amount = match amount.strip_suffix('%') {
                Some(percent) => {
                    let percent: f64 =
                        percent.parse().with_context(|| format!("{name}: {amount} is not a percentage"))?;
                    Quantity::from_value((total.value() as f64 * percent / 100.0) as i64, Format::BinarySi)
                }
                None => Quantity::parse(&amount).with_context(|| format!("{name}: {amount} is not a quantity"))?,
            };
            let left = allocatable.remove(&name).map(|q| q - amount).filter(|q| q.signum() >= 0);
            allocatable.insert(name, left.unwrap_or_else(|| Quantity::from_value(0, Format::DecimalSi)));
        }
        let wire = |map: BTreeMap<String, Quantity>| map.into_iter().map(|(k, v)| (k, Wire::from(v))).collect();
        Ok(Self {
            capacity: wire(capacity),
            allocatable: wire(allocatable),
            info,
            addresses,
            signals: Signals::None,
            apparmor: false,
        })
    }
}

/// Thousandths of a processor: those we may run on, or what our cgroup allows.
fn processors() -> anyhow::Result<i64> {
    let allowed = std::thread::available_parallelism().context("cannot count the processors")?;
    Ok(i64::try_from(allowed.get()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Bytes: the machine's, or our cgroup's if that is less.
fn memory() -> anyhow::Result<i64> {
    let info = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let total = meminfo(&info, "MemTotal").context("/proc/meminfo has no MemTotal")?;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|p| fs::read_to_string(p).ok()?.trim().parse::<i64>().ok()).min();
    Ok(limit.map_or(total, |l| l.min(total)))
}

/// Whether the machine swaps; the first line of the table is its head.
pub fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|table| table.lines().count() > 1)
}

/// A value of `/proc/meminfo` in bytes.
pub fn meminfo(text: &str, key: &str) -> Option<i64> {
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<i64>().ok().map(|kib| kib * 1024)
}

fn system_info() -> NodeSystemInfo {
    let read = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    let release = read("/etc/os-release");
    let pretty = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|n| n.trim_matches('"').to_owned());
    let machine_id = read("/etc/machine-id");
    let uuid = read("/sys/class/dmi/id/product_uuid");
    NodeSystemInfo {
        architecture: component::version::go_arch().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kubelet_version: component::version::GIT_VERSION.to_owned(),
        operating_system: "linux".into(),
        os_image: pretty.unwrap_or_else(|| "Linux".into()),
        system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
        machine_id,
        ..NodeSystemInfo::default()
    }
}

/// The address that the default route leaves from; without one, loopback's.
fn own_addresses() -> Vec<IpAddr> {
    // Connecting a datagram socket sends nothing; it only picks the source address.
    let toward = |bind: &str, to: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|a| a.ip())
    };
    let found: Vec<IpAddr> =
        [toward("0.0.0.0:0", "192.0.2.1:9"), toward("[::]:0", "[2001:db8::1]:9")].into_iter().flatten().collect();
    if found.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { found }
}

/// Used and usable bytes of the file system of a path, as `df` counts: what is kept from everyone is
/// neither used nor to be had.
pub fn disk_use(path: &Path) -> anyhow::Result<(u64, u64)> {
    let fs = nix::sys::statvfs::statvfs(path)?;
    let unit = fs.fragment_size() as u64;
    let used = (fs.blocks() as u64).saturating_sub(fs.blocks_free() as u64) * unit;
    Ok((used, used + fs.blocks_available() as u64 * unit))
}
