//! What the plugin prints: results and errors in CNI's form.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::config::{Call, NetConf};
use super::wire::{GATEWAY, Wired};

/// The versions of CNI that are understood.
pub const SUPPORTED: [&str; 4] = ["0.3.1", "0.4.0", "0.4.1", "1.0.0"];

pub type Outcome<T> = Result<T, Failure>;

/// An error with CNI's code for it.
#[derive(Debug)]
pub struct Failure {
    pub code: u32,
    message: String,
}

impl Failure {
    pub fn version(message: String) -> Failure {
        Failure { code: 1, message }
    }

    pub fn environment(message: String) -> Failure {
        Failure { code: 4, message }
    }

    pub fn io(error: &std::io::Error) -> Failure {
        Failure { code: 5, message: error.to_string() }
    }

    pub fn decoding(message: String) -> Failure {
        Failure { code: 6, message }
    }

    pub fn configuration(message: String) -> Failure {
        Failure { code: 7, message }
    }

    /// Worth trying again a moment later.
    pub fn again(message: String) -> Failure {
        Failure { code: 11, message }
    }

    pub fn internal(message: impl Into<String>) -> Failure {
        Failure { code: 100, message: message.into() }
    }

    pub fn render(&self) -> String {
        json!({"cniVersion": "1.0.0", "code": self.code, "msg": self.message}).to_string()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::internal(format!("{error:#}"))
    }
}

pub fn versions() -> String {
    json!({"cniVersion": "1.0.0", "supportedVersions": SUPPORTED}).to_string()
}

/// The result of ADD: both ends of the pair, the address on the pod's, and the way out.
pub fn added(conf: &NetConf, call: &Call, address: Ipv4Addr, wired: &Wired) -> String {
    let mut ip = json!({"address": format!("{address}/32"), "gateway": GATEWAY, "interface": 1});
    versioned(conf, &mut ip);
    json!({
        "cniVersion": conf.cni_version,
        "interfaces": [
            {"name": wired.host_device, "mac": wired.host_mac},
            {"name": call.device, "mac": wired.pod_mac, "sandbox": call.namespace},
        ],
        "ips": [ip],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAY}],
        "dns": {},
    })
    .to_string()
}

pub fn loopback(conf: &NetConf, call: &Call) -> String {
    let mut ip = json!({"address": "127.0.0.1/8", "interface": 0});
    versioned(conf, &mut ip);
    let device = json!({"name": call.device, "mac": "00:00:00:00:00:00", "sandbox": call.namespace});
    json!({"cniVersion": conf.cni_version, "interfaces": [device], "ips": [ip]}).to_string()
}

/// Before 1.0 an address also said its family.
fn versioned(conf: &NetConf, ip: &mut Value) {
    if !conf.cni_version.starts_with('1') {
        ip["version"] = json!("4");
    }
}
