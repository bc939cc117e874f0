//! Which endpoints of a service port take traffic: the ready ones, or, rather than refusing, those that terminate but
//! still serve (KEP-1669). Once for the whole cluster and once for this node alone.

use std::net::IpAddr;

use crate::{
    frontend::{Endpoint, Family, Protocol},
    object::{EndpointSlice, ServicePort},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSets {
    /// By address and port.
    pub cluster: Vec<Endpoint>,
    pub local: Vec<Endpoint>,
    /// Addresses of either that may be on this node.
    pub near: Vec<IpAddr>,
}

#[derive(Clone, Copy)]
struct Candidate {
    endpoint: Endpoint,
    ready: bool,
    local: bool,
    /// On this node or of unknown place.
    near: bool,
}

/// The endpoints of one port and family, out of all slices of the service.
pub fn choose<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    port: &ServicePort,
    protocol: Protocol,
    family: Family,
    node: &str,
) -> EndpointSets {
    let mut candidates: Vec<Candidate> = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().filter(|p| {
            p.name.as_deref().unwrap_or_default() == port.name
                && Protocol::parse(p.protocol.as_deref()) == Some(protocol)
        });
        let Some(port) = ports.filter_map(|p| p.port).next() else { continue };
        for endpoint in &slice.endpoints {
            let (ready, terminating) =
                (endpoint.conditions.ready.unwrap_or(true), endpoint.conditions.terminating.unwrap_or(false));
            let serving = endpoint.conditions.serving.unwrap_or(ready);
            // The API has several addresses of an endpoint mean the same; the first stands for them.
            let address = endpoint.addresses.first().and_then(|a| a.parse::<IpAddr>().ok());
            let Some(ip) = address.filter(|ip| Family::of(*ip) == family) else { continue };
            if ready || (serving && terminating) {
                let local = endpoint.node_name.as_deref() == Some(node);
                let near = local || endpoint.node_name.is_none();
                candidates.push(Candidate { endpoint: Endpoint { ip, port }, ready, local, near });
            }
        }
    }
    candidates.sort_by_key(|c| (c.endpoint, !c.ready, !c.local));
    candidates.dedup_by_key(|c| c.endpoint);

    let pick = |local_only: bool| -> Vec<Endpoint> {
        let of = |ready: bool| candidates.iter().filter(move |c| (c.local || !local_only) && c.ready == ready);
        let ready: Vec<_> = of(true).map(|c| c.endpoint).collect();
        if ready.is_empty() { of(false).map(|c| c.endpoint).collect() } else { ready }
    };
    let (cluster, local) = (pick(false), pick(true));
    let used = |c: &&Candidate| c.near && (cluster.contains(&c.endpoint) || local.contains(&c.endpoint));
    let mut near: Vec<_> = candidates.iter().filter(used).map(|c| c.endpoint.ip).collect();
    near.dedup();
    EndpointSets { cluster, local, near }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Each endpoint: address, node, and its conditions as letters: ready, serving, terminating.
    fn check(endpoints: &[(&str, &str, &str)], cluster: &[&str], local: &[&str]) {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(address, node, conditions)| {
                let has = |c| conditions.contains(c);
                json!({"addresses": [address], "nodeName": node,
                    "conditions": {"ready": has('r'), "serving": has('s'), "terminating": has('t')}})
            })
            .collect();
        let slice: EndpointSlice =
            serde_json::from_value(json!({"endpoints": endpoints, "ports": [{"name": "http", "port": 8080}]})).unwrap();
        let port = ServicePort { name: "http".into(), ..ServicePort::default() };
        let got = choose([&slice], &port, Protocol::Tcp, Family::V4, "here");
        let names = |list: &[Endpoint]| list.iter().map(|e| e.ip.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (names(&got.cluster), names(&got.local)),
            (cluster.iter().map(|s| s.to_string()).collect(), local.iter().map(|s| s.to_string()).collect())
        );
    }

    #[test]
    fn who_takes_traffic() {
        check(&[], &[], &[]);
        check(&[("10.0.0.2", "there", "rs"), ("10.0.0.1", "here", "rs")], &["10.0.0.1", "10.0.0.2"], &["10.0.0.1"]);
        check(&[("10.0.0.1", "here", ""), ("10.0.0.2", "there", "rs")], &["10.0.0.2"], &[]);
        // Terminating ones stand in only where no ready one is left, here or in the cluster.
        check(&[("10.0.0.1", "here", "st"), ("10.0.0.2", "there", "rs")], &["10.0.0.2"], &["10.0.0.1"]);
        check(&[("10.0.0.1", "here", "st"), ("10.0.0.2", "there", "st")], &["10.0.0.1", "10.0.0.2"], &["10.0.0.1"]);
        check(&[("10.0.0.1", "here", "t")], &[], &[]);
        check(&[("10.0.0.1", "here", "s")], &[], &[]);
        check(&[("fd00::1", "here", "rs")], &[], &[]);
    }

    #[test]
    fn ports_are_matched_by_name_and_protocol() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 54, "protocol": "TCP"}, {"port": 80}]}))
        .unwrap();
        let of = |name: &str, protocol| {
            let port = ServicePort { name: name.into(), ..ServicePort::default() };
            choose([&slice, &slice], &port, protocol, Family::V4, "here")
                .cluster
                .iter()
                .map(|e| e.port)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("dns", Protocol::Udp), [53]);
        assert_eq!(of("dns", Protocol::Tcp), [] as [u16; 0]);
        assert_eq!(of("dns-tcp", Protocol::Tcp), [54]);
        assert_eq!(of("", Protocol::Tcp), [80]);
    }
}
