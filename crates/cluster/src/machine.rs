//! What this machine is and has: checked before anything is changed, so that what is missing is told in one line.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::processes::{CALLED, FOREIGN, Programs};

/// CAP_SYS_RESOURCE, by its number in the kernel's masks.
const CAP_SYS_RESOURCE: u32 = 24;

pub fn require_root() -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "a cluster needs root: it makes network devices, mounts and cgroups");
    Ok(())
}

/// The programs that components are or call. All that are missing are named at once.
pub fn programs() -> anyhow::Result<Programs> {
    let missing: Vec<&str> =
        FOREIGN.iter().chain(&CALLED).copied().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        bail!("not installed: {} (hack/deps.sh installs them on Debian)", missing.join(", "));
    }
    Ok(FOREIGN.iter().filter_map(|program| Some((*program, find(program)?))).collect())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A plain user's PATH, as sudo may pass it on, lacks the sbin directories.
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Our own programs are all in one directory.
pub fn require_own(bin_dir: &Path) -> anyhow::Result<()> {
    let own = ["apiserver", "controller-manager", "scheduler", "kubelet", "proxy", "cni"];
    let missing: Vec<String> = own
        .iter()
        .map(|name| format!("kogge-{name}"))
        .chain(["kctl".into()])
        .filter(|name| !bin_dir.join(name).is_file())
        .collect();
    ensure!(missing.is_empty(), "not in {}: {} (see --bin-dir)", bin_dir.display(), missing.join(", "));
    Ok(())
}

/// Fails with the port when one that the cluster needs is taken by somebody else.
pub fn require_ports(ports: &[u16]) -> anyhow::Result<()> {
    for port in ports {
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], *port))).with_context(|| {
            format!("port {port} is in use: does another Kubernetes or etcd run here? (`ss -ltnp sport = :{port}`)")
        })?;
    }
    Ok(())
}

pub fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".into())
}

/// Addresses by which this machine can be reached from elsewhere.
pub fn addresses() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return vec![] };
    all.filter(|interface| !interface.interface_name.starts_with(crate::network::PREFIX))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
        })
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_loopback(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        })
        .collect()
}

/// Whether OOM scores may be lowered.
pub fn has_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1)
}
