//! What is known of the cluster's objects: only the fields that names and records are made of.

use std::net::IpAddr;

use api_types::object::Meta;
use api_types::watched;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    pub r#type: Box<str>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<Box<str>>,
    pub external_name: Box<str>,
    pub ports: Vec<Port>,
}

/// Of a service or of a slice; in a slice the number may be absent, which stands for all ports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Port {
    pub name: Option<Box<str>>,
    pub port: Option<u16>,
    pub protocol: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    pub metadata: Meta,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub addresses: Vec<Box<str>>,
    pub hostname: Option<Box<str>>,
    pub conditions: Conditions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    pub ready: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: Meta,
}

watched!(Service, "", "v1", "Service", "services", namespaced);
watched!(EndpointSlice, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", namespaced);
watched!(Namespace, "", "v1", "Namespace", "namespaces", cluster);

impl Service {
    pub fn is_headless(&self) -> bool {
        &*self.spec.cluster_ip == "None"
    }

    pub fn is_external(&self) -> bool {
        &*self.spec.r#type == "ExternalName"
    }

    /// The addresses of the service itself; a headless one has none.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let one = std::slice::from_ref(&self.spec.cluster_ip);
        let all = if self.spec.cluster_ips.is_empty() { one } else { &self.spec.cluster_ips };
        all.iter().filter_map(|address| address.parse().ok()).collect()
    }
}

impl EndpointSlice {
    /// The service that the slice belongs to.
    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.get("kubernetes.io/service-name").map(String::as_str)
    }
}

impl Endpoint {
    /// Unknown counts as ready, as the API says.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready != Some(false)
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().filter_map(|address| address.parse().ok())
    }

    /// The first label of the endpoint's own name: its hostname, or its address with dashes.
    pub fn label(&self, address: IpAddr) -> String {
        match &self.hostname {
            Some(hostname) if !hostname.is_empty() => hostname.to_string(),
            _ => address.to_string().replace(['.', ':'], "-"),
        }
    }
}
