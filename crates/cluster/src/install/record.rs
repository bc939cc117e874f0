//! What was decided about the cluster and this machine: `/etc/kogge/cluster.json`, from which every other file follows.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::config::CgroupDriver;

/// Everything of ours that a person may want to read or change.
pub const ETC: &str = "/etc/kogge";
pub const RECORD: &str = "/etc/kogge/cluster.json";
pub const PORT: u16 = 6443;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Installation {
    pub role: Role,
    pub cluster: ClusterSettings,
    pub node: NodeSettings,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Role {
    ControlPlane {
        etcd: Etcd,
        /// Further names and addresses under which the API server is reached.
        cert_extra_sans: Vec<String>,
    },
    Worker,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Etcd {
    /// One member on this machine, run by our unit.
    Local,
    /// Somebody else's; with TLS unless its URLs say otherwise.
    External { servers: Vec<String> },
}

/// What all machines of the cluster agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSettings {
    /// Where the API server answers, for machines other than its own.
    pub server: String,
    pub pod_cidr: String,
    pub service_cidr: String,
    pub domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSettings {
    pub name: String,
    pub address: Ipv4Addr,
    /// A container runtime that is not ours to run.
    pub cri_socket: Option<String>,
    pub cgroup_driver: CgroupDriver,
}

impl Installation {
    /// What an earlier `init` or `join` has decided.
    pub fn load(root: &Root) -> anyhow::Result<Option<Self>> {
        let path = root.at(RECORD);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// # Errors
    /// When a range or name cannot be used.
    pub fn check(&self) -> anyhow::Result<()> {
        let pods = Range::parse(&self.cluster.pod_cidr).context("--pod-cidr")?;
        let services = Range::parse(&self.cluster.service_cidr).context("--service-cidr")?;
        ensure!(services.prefix <= 28, "--service-cidr {}: too small for a cluster", self.cluster.service_cidr);
        ensure!(pods.prefix <= 24, "--pod-cidr {}: a node alone takes a /24 of it", self.cluster.pod_cidr);
        ensure!(!pods.overlaps(services), "--pod-cidr and --service-cidr overlap");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let name = &self.node.name;
        if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
            bail!("--node-name {name:?}: a node's name is lower case letters, digits, '-' and '.'");
        }
        Ok(())
    }

    pub fn is_control_plane(&self) -> bool {
        matches!(self.role, Role::ControlPlane { .. })
    }
}

impl ClusterSettings {
    /// The cluster's DNS has the tenth address of the services' range, and the API server the first.
    pub fn service_address(&self, number: u32) -> anyhow::Result<Ipv4Addr> {
        Ok(Range::parse(&self.service_cidr)?.nth(number))
    }

    pub fn dns_address(&self) -> anyhow::Result<Ipv4Addr> {
        self.service_address(10)
    }
}

/// The directory that stands for `/`: what is made for another machine goes below one.
#[derive(Clone, Debug)]
pub struct Root(pub PathBuf);

impl Root {
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub fn is_this_machine(&self) -> bool {
        self.0 == Path::new("/")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    prefix: u32,
}

impl Range {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let parts = text.split_once('/').and_then(|(address, prefix)| {
            Some((address.parse::<Ipv4Addr>().ok()?, prefix.parse::<u32>().ok().filter(|prefix| *prefix <= 32)?))
        });
        let Some((address, prefix)) = parts else {
            bail!("{text:?} is not a range of IPv4 addresses like 10.96.0.0/16")
        };
        let range = Self { first: u32::from(address), prefix };
        ensure!(
            range.first & !range.mask() == 0,
            "{text:?} does not begin at {}",
            Ipv4Addr::from(range.first & range.mask())
        );
        Ok(range)
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }

    fn nth(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.first.saturating_add(number))
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.first & mask == other.first & mask
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A machine of a cluster.
    pub fn installation(role: Role) -> Installation {
        Installation {
            role,
            cluster: ClusterSettings {
                server: "https://192.0.2.1:6443".into(),
                pod_cidr: "10.244.0.0/16".into(),
                service_cidr: "10.96.0.0/16".into(),
                domain: "cluster.local".into(),
            },
            node: NodeSettings {
                name: "hulk".into(),
                address: Ipv4Addr::new(192, 0, 2, 1),
                cri_socket: None,
                cgroup_driver: CgroupDriver::Systemd,
            },
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |pods: &str, services: &str, name: &str, why: &str| {
            let mut installation = installation(Role::Worker);
            installation.cluster.pod_cidr = pods.into();
            installation.cluster.service_cidr = services.into();
            installation.node.name = name.into();
            let said = installation.check().map_or_else(|error| format!("{error:#}"), |()| "fine".into());
            assert!(said.contains(why), "{pods} {services} {name}: {said}");
        };
        check("10.244.0.0/16", "10.96.0.0/12", "hulk-1.example", "fine");
        check("10.244.0.0", "10.96.0.0/16", "a", "not a range");
        check("10.244.0.1/16", "10.96.0.0/16", "a", "does not begin at 10.244.0.0");
        check("10.244.0.0/25", "10.96.0.0/16", "a", "a /24 of it");
        check("10.244.0.0/16", "10.96.0.0/30", "a", "too small");
        check("10.0.0.0/8", "10.96.0.0/16", "a", "overlap");
        check("10.244.0.0/16", "10.96.0.0/16", "Hulk", "a node's name");
    }

    #[test]
    fn addresses_of_services() {
        let cluster = installation(Role::Worker).cluster;
        assert_eq!(cluster.service_address(1).unwrap(), Ipv4Addr::new(10, 96, 0, 1));
        let odd = ClusterSettings { service_cidr: "172.20.16.0/20".into(), ..cluster };
        assert_eq!(odd.dns_address().unwrap(), Ipv4Addr::new(172, 20, 16, 10));
    }

    #[test]
    fn the_record_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().to_owned());
        assert_eq!(Installation::load(&root).unwrap(), None);
        let etcd = Etcd::External { servers: vec!["https://192.0.2.9:2379".into()] };
        let made = installation(Role::ControlPlane { etcd, cert_extra_sans: vec![] });
        crate::pki::write(&root.at(RECORD), &serde_json::to_string(&made).unwrap(), 0o644).unwrap();
        assert_eq!(Installation::load(&root).unwrap(), Some(made));
    }
}
