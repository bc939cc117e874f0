//! `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`.
//!
//! Options of upstream's other modes and of timers that this proxy does not have are accepted and have no effect, so
//! that a file written for upstream can be used; a mode other than nftables is refused.

use std::net::IpAddr;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use service_rules::{Settings, rules::Cidr};

pub const ACCEPTED: &[(&str, &str)] = &[("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration")];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeProxyConfiguration {
    pub bind_address: String,
    pub bind_address_hard_fail: bool,
    pub client_connection: ClientConnection,
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    pub config_sync_period: Option<String>,
    pub conntrack: Conntrack,
    pub detect_local: Value,
    pub detect_local_mode: String,
    pub enable_profiling: bool,
    pub feature_gates: Value,
    pub healthz_bind_address: Option<String>,
    pub hostname_override: String,
    pub iptables: Value,
    pub ipvs: Value,
    pub logging: Value,
    pub metrics_bind_address: Option<String>,
    pub mode: String,
    pub nftables: Nftables,
    pub node_port_addresses: Option<Vec<String>>,
    pub oom_score_adj: Option<i32>,
    pub port_range: String,
    pub show_hidden_metrics_for_version: String,
    pub winkernel: Value,
    pub window_run_as_service: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientConnection {
    pub kubeconfig: String,
    pub accept_content_types: String,
    pub content_type: String,
    pub qps: Option<f64>,
    pub burst: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conntrack {
    pub max_per_core: Option<u64>,
    pub min: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Nftables {
    pub masquerade_all: bool,
    pub masquerade_bit: Option<i32>,
    pub min_sync_period: Option<String>,
    pub sync_period: Option<String>,
}

/// Which of the node's addresses take NodePort traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The addresses by which the cluster knows the node.
    Primary,
    Within(Vec<Cidr>),
}

impl KubeProxyConfiguration {
    /// What the brain needs to know.
    ///
    /// # Errors
    /// When the mode is not ours or a range cannot be understood.
    pub fn settings(&self, table: &str, node_name: &str) -> anyhow::Result<Settings> {
        if !matches!(self.mode.as_str(), "" | "nftables") {
            bail!("mode is {:?}, but this proxy has nftables only", self.mode);
        }
        if !matches!(self.detect_local_mode.as_str(), "" | "ClusterCIDR") {
            bail!("detectLocalMode is {:?}, but this proxy has ClusterCIDR only", self.detect_local_mode);
        }
        Ok(Settings {
            table: table.to_owned(),
            node_name: node_name.to_owned(),
            node_port_addresses: Vec::new(),
            cluster_cidrs: cidrs(self.cluster_cidr.split(',')).context("clusterCIDR")?,
            masquerade_all: self.nftables.masquerade_all,
            masquerade_fully_random: true,
        })
    }

    /// # Errors
    /// When a range cannot be understood.
    pub fn node_port_addresses(&self) -> anyhow::Result<NodePortAddresses> {
        match self.node_port_addresses.as_deref().unwrap_or_default() {
            [] => Ok(NodePortAddresses::Primary),
            [primary] if primary == "primary" => Ok(NodePortAddresses::Primary),
            ranges => {
                let ranges = cidrs(ranges.iter().map(String::as_str)).context("nodePortAddresses")?;
                Ok(NodePortAddresses::Within(ranges))
            }
        }
    }

    pub fn healthz_address(&self) -> &str {
        self.healthz_bind_address.as_deref().unwrap_or("0.0.0.0:10256")
    }

    pub fn metrics_address(&self) -> &str {
        self.metrics_bind_address.as_deref().unwrap_or("127.0.0.1:10249")
    }
}

fn cidrs<'a>(texts: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<Cidr>> {
    texts.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(anyhow::Error::msg)).collect()
}

impl NodePortAddresses {
    /// Out of the addresses of the Node object, and of those of this machine.
    pub fn choose(&self, of_node: &[IpAddr], of_machine: &[IpAddr]) -> Vec<IpAddr> {
        let mut chosen: Vec<IpAddr> = match self {
            Self::Primary => {
                let first = |v4: bool| of_node.iter().find(|ip| ip.is_ipv4() == v4);
                [first(true), first(false)].into_iter().flatten().copied().collect()
            }
            Self::Within(ranges) => {
                let within = |ip: &&IpAddr| !ip.is_loopback() && ranges.iter().any(|range| range.contains(**ip));
                of_machine.iter().filter(within).copied().collect()
            }
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<KubeProxyConfiguration> {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        component::config::parse(&format!("{head}{text}"), ACCEPTED)
    }

    #[test]
    fn reads_upstreams_form() {
        let file = parse(
            "mode: nftables\nclusterCIDR: 10.244.0.0/16,fd00::/48\nconntrack: {maxPerCore: 1}\nipvs: {scheduler: rr}\n",
        )
        .unwrap();
        let settings = file.settings("t", "n").unwrap();
        let ranges: Vec<_> = settings.cluster_cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["10.244.0.0/16", "fd00::/48"]);
        assert_eq!((file.healthz_address(), file.metrics_address()), ("0.0.0.0:10256", "127.0.0.1:10249"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("clusterCidr: x\n", "unknown field `clusterCidr`"),
            ("mode: ipvs\n", "nftables only"),
            ("clusterCIDR: 10.0.0.0/33\n", "\"10.0.0.0/33\" is not a range"),
            ("detectLocalMode: BridgeInterface\n", "ClusterCIDR only"),
        ] {
            let error = parse(text).and_then(|file| file.settings("t", "n").map(|_| ())).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }

    #[test]
    fn node_port_addresses() {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpAddr>>();
        let check = |text: &str, want: &[&str]| {
            let chosen = parse(text).unwrap().node_port_addresses().unwrap();
            let got = chosen
                .choose(&ips(&["10.0.0.1", "10.0.0.2", "fd00::1"]), &ips(&["127.0.0.1", "10.0.0.1", "172.16.0.1"]));
            assert_eq!(got, ips(want), "{text}");
        };
        check("", &["10.0.0.1", "fd00::1"]);
        check("nodePortAddresses: [primary]\n", &["10.0.0.1", "fd00::1"]);
        check("nodePortAddresses: [172.16.0.0/12]\n", &["172.16.0.1"]);
        check("nodePortAddresses: [0.0.0.0/0]\n", &["10.0.0.1", "172.16.0.1"]);
    }
}
