//! What an update of a Service may leave unsaid: addresses and ports that were given to it stay its own.

use serde_json::{Value, json};

use crate::value;

fn type_of(object: &Value) -> &str {
    value::text(object, &["spec", "type"])
}

pub fn needs_cluster_ip(object: &Value) -> bool {
    matches!(type_of(object), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn needs_node_port(object: &Value) -> bool {
    let allocates =
        value::at(object, &["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true);
    matches!(type_of(object), "NodePort") || (type_of(object) == "LoadBalancer" && allocates)
}

/// A change of type drops what only the old type had, unless the client changed it too.
pub fn drop_what_another_type_needed(new: &mut Value, old: &Value) {
    if type_of(new) == type_of(old) {
        return;
    }
    let same = |new: &Value, member: &str| value::at(new, &["spec", member]) == value::at(old, &["spec", member]);
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if same(new, member) || member == "clusterIPs" {
                value::remove(new, &["spec", member]);
            }
        }
    }
    if needs_node_port(old) && !needs_node_port(new) {
        let had: Vec<_> =
            value::items(old, &["spec", "ports"]).iter().filter_map(|p| p.get("nodePort").cloned()).collect();
        value::each(value::child(new, "spec"), "ports", |port| {
            if port.get("nodePort").is_some_and(|n| had.contains(n)) {
                value::remove(port, &["nodePort"]);
            }
        });
    }
    let external = |object: &Value| {
        matches!(type_of(object), "NodePort" | "LoadBalancer")
            || !value::items(object, &["spec", "externalIPs"]).is_empty()
    };
    if external(old) && !external(new) && same(new, "externalTrafficPolicy") {
        value::remove(new, &["spec", "externalTrafficPolicy"]);
    }
    if type_of(old) == "LoadBalancer" {
        for member in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"] {
            if same(new, member) {
                value::remove(new, &["spec", member]);
            }
        }
    }
    if type_of(old) == "ExternalName" && same(new, "externalName") {
        value::remove(new, &["spec", "externalName"]);
    }
}

/// Fills in what the server gave out before.
pub fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_cluster_ip(new) && needs_cluster_ip(old) {
        if value::text(new, &["spec", "clusterIP"]).is_empty() {
            value::copy(new, old, &["spec", "clusterIP"]);
        }
        if value::items(new, &["spec", "clusterIPs"]).is_empty() && same_first(new, old) {
            value::copy(new, old, &["spec", "clusterIPs"]);
        }
        for member in ["ipFamilies", "ipFamilyPolicy"] {
            if value::at(new, &["spec", member]).is_none() {
                value::copy(new, old, &["spec", member]);
            }
        }
    }
    if needs_node_port(new) && needs_node_port(old) {
        let before = value::items(old, &["spec", "ports"]).to_vec();
        let taken: Vec<_> =
            value::items(new, &["spec", "ports"]).iter().filter_map(|p| p.get("nodePort").cloned()).collect();
        value::each(value::child(new, "spec"), "ports", |port| {
            if port.get("nodePort").is_some() {
                return;
            }
            let same = before.iter().find(|b| b["port"] == port["port"] && b["protocol"] == port["protocol"]);
            if let Some(number) = same.and_then(|b| b.get("nodePort")).filter(|n| !taken.contains(n)) {
                value::set(port, &["nodePort"], number.clone());
            }
        });
    }
    if value::at(new, &["spec", "healthCheckNodePort"]).is_none()
        && type_of(new) == "LoadBalancer"
        && type_of(old) == "LoadBalancer"
    {
        value::copy(new, old, &["spec", "healthCheckNodePort"]);
    }
}

fn same_first(new: &Value, old: &Value) -> bool {
    value::text(new, &["spec", "clusterIP"]) == value::text(old, &["spec", "clusterIP"])
}

/// `clusterIP` is the first of `clusterIPs`; older clients know only the former.
pub fn normalise_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let one = value::text(new, &["spec", "clusterIP"]).to_owned();
    let many = value::items(new, &["spec", "clusterIPs"]).to_vec();
    let old_one = old.map(|o| value::text(o, &["spec", "clusterIP"]).to_owned());
    let old_many = old.map(|o| value::items(o, &["spec", "clusterIPs"]).to_vec());
    match old_one {
        None if !one.is_empty() && many.is_empty() => value::set(new, &["spec", "clusterIPs"], json!([one])),
        // The client changed only the single form.
        Some(before) if one != before && old_many.as_ref() == Some(&many) => {
            if one.is_empty() {
                value::remove(new, &["spec", "clusterIPs"]);
            } else {
                value::set(new, &["spec", "clusterIPs"], json!([one]));
            }
        }
        _ => {
            if let (true, Some(first)) = (one.is_empty() && old.is_some(), many.first().cloned()) {
                value::set(new, &["spec", "clusterIP"], first);
            }
        }
    }
}
