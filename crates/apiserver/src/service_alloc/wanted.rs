//! What a Service has and wants, read from its JSON: addresses, node ports, and what an update carries over.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

/// What one Service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub addresses: BTreeSet<Ipv4Addr>,
    pub ports: BTreeSet<u16>,
}

impl Held {
    pub fn of(service: &Value) -> Self {
        let mut held = Self::default();
        let spec = &service["spec"];
        if needs_address(spec) {
            let list = spec["clusterIPs"].as_array().into_iter().flatten();
            let all = list.chain(std::iter::once(&spec["clusterIP"])).filter_map(Value::as_str);
            held.addresses.extend(all.filter_map(|text| text.parse::<Ipv4Addr>().ok()));
        }
        if needs_ports(spec) {
            let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
            held.ports.extend(ports.filter_map(port_number));
        }
        if needs_health_check_port(spec) {
            held.ports.extend(port_number(&spec["healthCheckNodePort"]));
        }
        held
    }
}

/// Not ExternalName; a headless service is of these too, but its `None` is no address.
pub fn needs_address(spec: &Value) -> bool {
    matches!(kind(spec), "ClusterIP" | "NodePort" | "LoadBalancer")
}

pub fn needs_ports(spec: &Value) -> bool {
    matches!(kind(spec), "NodePort" | "LoadBalancer")
}

/// Whether a port without a number is to get one.
pub fn allocates_ports(spec: &Value) -> bool {
    kind(spec) == "NodePort" || (kind(spec) == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
}

pub fn needs_health_check_port(spec: &Value) -> bool {
    kind(spec) == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

fn kind(spec: &Value) -> &str {
    spec["type"].as_str().unwrap_or("ClusterIP")
}

pub fn port_number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
}

/// Fills into an update what its sender left out and the Service keeps: clients that do not read first depend on it.
pub fn carry_over(new: &mut Value, old: &Value) {
    let old = &old["spec"];
    let Some(spec) = new.get_mut("spec") else { return };
    if needs_address(spec) && needs_address(old) && is_blank(&spec["clusterIP"]) && !is_headless(old) {
        let ours = spec["clusterIPs"].as_array().is_none_or(Vec::is_empty) || spec["clusterIPs"] == old["clusterIPs"];
        if ours {
            copy(spec, old, "clusterIP");
            copy(spec, old, "clusterIPs");
        }
    }
    if needs_ports(spec) && needs_ports(old) {
        carry_over_ports(spec, old);
    }
    if needs_health_check_port(spec)
        && needs_health_check_port(old)
        && port_number(&spec["healthCheckNodePort"]).is_none()
    {
        copy(spec, old, "healthCheckNodePort");
    }
}

pub fn is_headless(spec: &Value) -> bool {
    spec["clusterIP"] == "None"
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_none_or(str::is_empty)
}

fn copy(new: &mut Value, old: &Value, field: &str) {
    if let (Some(new), Some(value)) = (new.as_object_mut(), old.get(field)) {
        new.insert(field.to_owned(), value.clone());
    }
}

/// A port keeps its node port if another has not been given the same one meanwhile.
fn carry_over_ports(spec: &mut Value, old: &Value) {
    let used: BTreeSet<u16> =
        spec["ports"].as_array().into_iter().flatten().filter_map(|port| port_number(&port["nodePort"])).collect();
    let same = |a: &Value, b: &Value| a["port"] == b["port"] && protocol(a) == protocol(b);
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if port_number(&port["nodePort"]).is_some() {
            continue;
        }
        let before = old["ports"].as_array().into_iter().flatten().find(|before| same(before, port));
        if let (Some(number), Some(port)) =
            (before.and_then(|before| port_number(&before["nodePort"])), port.as_object_mut())
            && !used.contains(&number)
        {
            port.insert("nodePort".to_owned(), json!(number));
        }
    }
}

pub fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// Takes off what the type of the Service no longer has, when the type changed.
pub fn drop_unneeded(new: &mut Value, old: &Value) {
    let Some(spec) = new.get_mut("spec") else { return };
    let was = |needs: fn(&Value) -> bool| needs(&old["spec"]);
    let address_gone = was(needs_address) && !needs_address(spec) && spec["clusterIP"] == old["spec"]["clusterIP"];
    let ports_gone = was(needs_ports) && !needs_ports(spec);
    let health_gone = was(needs_health_check_port) && !needs_health_check_port(spec);
    if ports_gone {
        for port in spec["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let number = port.get("nodePort").and_then(port_number);
            let kept = old["spec"]["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|old| port_number(&old["nodePort"]) == number);
            if number.is_some() && kept {
                port.shift_remove("nodePort");
            }
        }
    }
    let Some(spec) = spec.as_object_mut() else { return };
    let drop = |spec: &mut Map<String, Value>, field: &str| spec.shift_remove(field);
    if address_gone {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop(spec, field);
        }
    }
    if health_gone && spec.get("healthCheckNodePort") == old["spec"].get("healthCheckNodePort") {
        drop(spec, "healthCheckNodePort");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec})
    }

    #[test]
    fn what_is_held() {
        let check = |spec: Value, addresses: &[&str], ports: &[u16]| {
            let held = Held::of(&service(spec));
            let found: Vec<_> = held.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(
                (found.iter().map(String::as_str).collect::<Vec<_>>(), held.ports.into_iter().collect::<Vec<_>>()),
                (addresses.to_vec(), ports.to_vec())
            );
        };
        check(json!({"clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"]}), &["10.0.0.5"], &[]);
        check(json!({"clusterIP": "None"}), &[], &[]);
        check(json!({"type": "ExternalName", "clusterIP": "10.0.0.5"}), &[], &[]);
        let ports = json!([{"port": 1, "nodePort": 30001}, {"port": 2, "nodePort": 30001, "protocol": "UDP"}]);
        check(json!({"type": "NodePort", "clusterIP": "10.0.0.5", "ports": ports}), &["10.0.0.5"], &[30001]);
        check(json!({"type": "ClusterIP", "ports": ports}), &[], &[]);
        let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002});
        check(local, &[], &[30002]);
    }

    #[test]
    fn updates_keep_what_they_leave_out() {
        let old = service(json!({
            "type": "NodePort", "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}, {"port": 81, "protocol": "TCP", "nodePort": 30002}],
        }));
        let mut new = service(
            json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 82, "nodePort": 30002}, {"port": 81}]}),
        );
        carry_over(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.0.0.5");
        assert_eq!(new["spec"]["clusterIPs"], json!(["10.0.0.5"]));
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert_eq!(new["spec"]["ports"][2].get("nodePort"), None);
        let mut headless = service(json!({"clusterIP": "None"}));
        carry_over(&mut headless, &old);
        assert_eq!(headless["spec"]["clusterIP"], "None");
    }

    #[test]
    fn a_type_without_them_loses_ports_and_address() {
        let old =
            service(json!({"type": "NodePort", "clusterIP": "10.0.0.5", "ports": [{"port": 80, "nodePort": 30001}]}));
        let mut new = old.clone();
        new["spec"]["type"] = json!("ClusterIP");
        drop_unneeded(&mut new, &old);
        assert_eq!(new["spec"]["ports"], json!([{"port": 80}]));
        assert_eq!(new["spec"]["clusterIP"], "10.0.0.5");
        new["spec"]["type"] = json!("ExternalName");
        drop_unneeded(&mut new, &old);
        assert!(new["spec"].get("clusterIP").is_none());
    }
}
