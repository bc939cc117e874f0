//! What a call says: the environment, and the network configuration on standard input.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::answer::{Failure, Outcome, SUPPORTED};

/// The plugin's part of the configuration, which the agent writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginConf {
    /// The node's range of pod addresses, `10.244.1.0/24`.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// The node's own address, which its packets to pods come from.
    #[serde(rename = "nodeIP")]
    pub node_ip: Ipv4Addr,
    /// Where addresses in use are remembered. Should not survive a reboot.
    pub state_dir: PathBuf,
    /// Of the pods' devices.
    pub mtu: u32,
    /// What our nftables tables' names begin with.
    pub table_prefix: String,
}

/// The list that containerd reads.
pub fn conflist(conf: &PluginConf) -> String {
    let mut plugin = serde_json::json!({"type": "kogge-cni", "capabilities": {"portMappings": true}});
    if let (Some(plugin), Ok(serde_json::Value::Object(conf))) = (plugin.as_object_mut(), serde_json::to_value(conf)) {
        plugin.extend(conf);
    }
    let list = serde_json::json!({"cniVersion": "1.0.0", "name": "kogge", "plugins": [plugin]});
    format!("{list:#}\n")
}

/// A network configuration as the runtime passes it on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetConf {
    #[serde(default = "first_version")]
    pub cni_version: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    runtime_config: RuntimeConfig,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeConfig {
    #[serde(default)]
    port_mappings: Vec<PortMapping>,
}

/// A port of the host that leads to a port of the pod.
///
/// The convention says `hostPort`; containerd writes `HostPort`, because Go's decoder does not mind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    #[serde(alias = "HostPort")]
    pub host_port: u16,
    #[serde(alias = "ContainerPort")]
    pub container_port: u16,
    #[serde(default, alias = "Protocol")]
    pub protocol: String,
    /// Only this address of the host; all of them when empty.
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    pub host_ip: String,
}

fn first_version() -> String {
    "0.3.1".to_owned()
}

impl NetConf {
    pub fn parse(input: &str) -> Outcome<NetConf> {
        let conf: NetConf = serde_json::from_str(input).map_err(|error| Failure::decoding(error.to_string()))?;
        match SUPPORTED.contains(&conf.cni_version.as_str()) {
            true => Ok(conf),
            false => Err(Failure::version(format!("CNI version {} is not supported", conf.cni_version))),
        }
    }

    pub fn is_loopback(&self) -> bool {
        self.r#type == "loopback"
    }

    pub fn plugin(&self) -> Outcome<PluginConf> {
        let rest = serde_json::Value::Object(self.rest.clone());
        serde_json::from_value(rest).map_err(|error| Failure::configuration(error.to_string()))
    }

    /// The mappings that map something.
    pub fn port_mappings(&self) -> impl Iterator<Item = &PortMapping> {
        self.runtime_config.port_mappings.iter().filter(|mapping| mapping.host_port != 0)
    }
}

/// The environment of a call.
#[derive(Debug)]
pub struct Call {
    pub container: String,
    pub device: String,
    /// Path of the network namespace; may be empty on DEL.
    pub namespace: String,
}

impl Call {
    pub fn from_environment() -> Outcome<Call> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let call = Call {
            container: variable("CNI_CONTAINERID"),
            device: variable("CNI_IFNAME"),
            namespace: variable("CNI_NETNS"),
        };
        let plain = |text: &str| !text.is_empty() && !text.contains(['/', '\0']) && !text.starts_with('.');
        if !plain(&call.container) || !plain(&call.device) {
            return Err(Failure::environment("CNI_CONTAINERID and CNI_IFNAME must be set".to_owned()));
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_list_is_read_back() {
        let conf = PluginConf {
            pod_cidr: "10.244.1.0/24".to_owned(),
            node_ip: Ipv4Addr::new(172, 31, 0, 2),
            state_dir: "/run/x".into(),
            mtu: 1500,
            table_prefix: "kogge".to_owned(),
        };
        let list: serde_json::Value = serde_json::from_str(&conflist(&conf)).unwrap();
        let mut plugin = list["plugins"][0].clone();
        plugin["cniVersion"] = list["cniVersion"].clone();
        plugin["runtimeConfig"] = serde_json::json!({"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}, {"hostPort": 0, "containerPort": 81},
            {"HostPort": 53, "ContainerPort": 53, "Protocol": "udp", "HostIP": ""}
        ]});
        let parsed = NetConf::parse(&plugin.to_string()).unwrap();
        assert_eq!(parsed.plugin().unwrap(), conf);
        assert_eq!(parsed.port_mappings().map(|mapping| mapping.host_port).collect::<Vec<_>>(), [8080, 53]);
    }

    #[test]
    fn what_is_refused() {
        let check = |input: &str, code: u32| assert_eq!(NetConf::parse(input).unwrap_err().code, code, "{input}");
        check("{", 6);
        check(r#"{"cniVersion":"9.9.9"}"#, 1);
        assert_eq!(NetConf::parse("{}").unwrap().plugin().unwrap_err().code, 7);
    }
}
