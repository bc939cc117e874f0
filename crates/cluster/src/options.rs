//! What a person can choose about a cluster, and the record of it that the cluster keeps.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a cluster's state lies unless told otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/kogge";

/// The choices of `up`. What is `None` stays as it was at the last `up`, or takes its default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// State directory; [`DEFAULT_DIR`] when empty.
    pub dir: PathBuf,
    /// Number of nodes, the first of which is this machine; 1 unless told otherwise.
    pub nodes: Option<usize>,
    /// Where `kctl` and the components are; beside the running program unless told otherwise.
    pub bin_dir: Option<PathBuf>,
    /// Where the OCI archives of the cluster's own images are.
    pub images: Option<PathBuf>,
    /// Do not wait for the nodes and DNS.
    pub no_wait: bool,
}

/// The cluster as it was last asked for: `cluster.json` in the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    pub nodes: Vec<String>,
    pub bin_dir: PathBuf,
    pub api_port: u16,
    pub pod_cidr: String,
    pub service_cidr: String,
    pub dns_address: Ipv4Addr,
    pub domain: String,
    /// First three octets of the segment that joins the nodes; a node's address ends in its number.
    pub segment: [u8; 3],
}

impl Spec {
    pub fn new(bin_dir: PathBuf, nodes: usize) -> Self {
        Self {
            nodes: node_names(nodes),
            bin_dir,
            api_port: 6443,
            pod_cidr: "10.244.0.0/16".into(),
            service_cidr: "10.96.0.0/16".into(),
            dns_address: Ipv4Addr::new(10, 96, 0, 10),
            domain: "cluster.local".into(),
            segment: [10, 245, 0],
        }
    }

    /// The address of a node on the segment; the first node's is this machine's.
    pub fn address(&self, node: &str) -> Ipv4Addr {
        let number = self.nodes.iter().position(|name| name == node).unwrap_or_default() + 1;
        let [a, b, c] = self.segment;
        Ipv4Addr::new(a, b, c, u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// First octets of the service range.
    pub fn service_base(&self) -> [u8; 4] {
        let address = self.service_cidr.split('/').next().unwrap_or_default();
        address.parse::<Ipv4Addr>().map(|address| address.octets()).unwrap_or_default()
    }

    /// The first node shares this machine's network; all others have a namespace of their own.
    pub fn is_host(&self, node: &str) -> bool {
        self.nodes.first().is_some_and(|first| first == node)
    }
}

/// Names of the first `count` nodes.
pub fn node_names(count: usize) -> Vec<String> {
    (1..=count.max(1)).map(|number| format!("node-{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_order_of_nodes() {
        let spec = Spec::new("/bin".into(), 3);
        assert_eq!(spec.nodes, ["node-1", "node-2", "node-3"]);
        assert_eq!(spec.address("node-1").to_string(), "10.245.0.1");
        assert_eq!(spec.address("node-3").to_string(), "10.245.0.3");
        assert!(spec.is_host("node-1") && !spec.is_host("node-2"));
    }
}
