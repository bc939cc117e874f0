//! What this machine is and has: checked before anything is changed, so that what is missing is told in one line.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::processes::{CALLED, FOREIGN, Programs};

/// CAP_SYS_RESOURCE, by its number in the kernel's masks.
const CAP_SYS_RESOURCE: u32 = 24;

pub fn require_root() -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "a cluster needs root: it makes network devices, mounts and cgroups");
    Ok(())
}

/// The programs that components are or call.
pub fn programs() -> anyhow::Result<Programs> {
    require_programs(&FOREIGN)?;
    Ok(FOREIGN.iter().filter_map(|program| Some((*program, find(program)?))).collect())
}

/// That `foreign` programs and those that components call are there. All that are missing are named at once.
pub fn require_programs(foreign: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = foreign.iter().chain(&CALLED).copied().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        bail!("not installed: {} (hack/deps.sh installs them on Debian)", missing.join(", "));
    }
    Ok(())
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

/// Addresses by which this machine is known to others: those it would use to reach them. No packet is sent.
pub fn addresses() -> Vec<IpAddr> {
    let far = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])];
    let towards = |far: IpAddr| {
        let any = if far.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((far, 53)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    far.into_iter().filter_map(towards).filter(|address| !address.is_loopback()).collect()
}

/// Whether OOM scores may be lowered.
pub fn has_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1)
}
