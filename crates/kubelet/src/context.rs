//! What every pod's worker shares: the connections, the caches, the node's own facts.

use crate::{
    cgroups::Cgroups,
    config::Config,
    directory::Directory,
    eviction::Pressure,
    images::Images,
    node::machine::Machine,
    paths::Paths,
    volumes::{mounts::Mounts, tokens::Tokens},
};
use api_types::{object::Meta, plan::Note, watched};
use client::{Api, Informers, Recorder, Store};
use component::{Clock, Shutdown};
use cri::Runtime;
use pod_lifecycle::{
    core::{Node, ObjectReference, ServicePort},
    dns,
    env::{PortSeen, ServiceSeen},
};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct Context {
    pub config: Config,
    pub paths: Paths,
    pub machine: Machine,
    /// Primary address first.
    pub host_ips: Vec<String>,
    pub cluster_dns: dns::Cluster,
    pub runtime: Arc<dyn Runtime>,
    /// `containerd`, the scheme of container ids.
    pub runtime_name: String,
    pub clock: Arc<dyn Clock>,
    pub api: Api,
    pub informers: Informers,
    pub recorder: Recorder,
    pub services: Store<Service>,
    pub node: Store<Node>,
    pub directory: Directory,
    pub images: Images,
    pub tokens: Tokens,
    pub pressure: Pressure,
    /// None where the kernel's are not to be touched.
    pub cgroups: Option<Cgroups>,
    pub mounts: Mounts,
    /// Sandboxes being made at once: more would only take the processor from each other.
    pub sandboxes: Semaphore,
    /// Probes of containers already running at the start are spread over their period by this.
    pub jitter: client::Jitter,
    pub shutdown: Shutdown,
}

impl Context {
    pub fn event(&self, regarding: ObjectReference, reason: &'static str, text: &str) {
        self.recorder.note(&Note::normal(regarding, reason, text));
    }

    pub fn warn(&self, regarding: ObjectReference, reason: &'static str, text: &str) {
        self.recorder.note(&Note::warning(regarding, reason, text));
    }

    /// The node's resolver settings as they are now.
    pub fn node_resolv(&self) -> dns::Resolv {
        dns::parse(&std::fs::read_to_string(&self.config.file.resolv_conf).unwrap_or_default())
    }

    /// Services that have an address and a name in containers' environments.
    pub fn services(&self) -> Vec<ServiceSeen> {
        let seen = |service: Arc<Service>| {
            let ip = service.spec.cluster_ip.clone();
            let usable = !ip.is_empty() && ip != "None";
            usable.then(|| ServiceSeen {
                namespace: service.metadata.namespace.to_string(),
                name: service.metadata.name.to_string(),
                ip,
                ports: service.spec.ports.iter().map(port).collect(),
            })
        };
        self.services.list().into_iter().filter_map(seen).collect()
    }
}

fn port(port: &ServicePort) -> PortSeen {
    PortSeen {
        name: port.name.clone().unwrap_or_default(),
        port: port.port,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
    }
}

/// As much of a Service as its variables need.
#[derive(Debug, Deserialize)]
pub struct Service {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub ports: Vec<ServicePort>,
}

watched!(Service, "", "v1", "Service", "services", namespaced);
