//! Services and what stands behind them.

use std::collections::BTreeMap;

use api_types::k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use crate::meta::namespaced;

/// A service of type ClusterIP at `address`, port 80 to 8080 of the pods with the label `app=<name>`.
pub fn service(name: &str, address: &str) -> Service {
    let port = ServicePort {
        port: 80,
        target_port: Some(IntOrString::Int(8080)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        cluster_ip: Some(address.to_owned()),
        cluster_ips: Some(vec![address.to_owned()]),
        session_affinity: Some("None".to_owned()),
        selector: Some(BTreeMap::from([("app".to_owned(), name.to_owned())])),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    Service { metadata: namespaced(name), spec: Some(spec), status: None }
}

/// A slice of `service` with ready endpoints at `addresses`, port 8080.
pub fn endpoint_slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let ready = EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) };
    let endpoints = addresses
        .iter()
        .map(|address| Endpoint {
            addresses: vec![(*address).to_owned()],
            conditions: Some(ready.clone()),
            ..Endpoint::default()
        })
        .collect();
    let port = EndpointPort {
        name: Some(String::new()),
        port: Some(8080),
        protocol: Some("TCP".to_owned()),
        ..EndpointPort::default()
    };
    let labels = BTreeMap::from([("kubernetes.io/service-name".to_owned(), service.to_owned())]);
    EndpointSlice {
        metadata: ObjectMeta { labels: Some(labels), ..namespaced(name) },
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints),
        ports: Some(vec![port]),
    }
}
