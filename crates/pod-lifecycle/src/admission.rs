//! Whether the node takes a pod that was bound to it: the last check, in upstream's reasons.

use crate::{
    core::{Container, Node, NodeSelectorRequirement, Pod, Taint},
    names,
    resources::{self, Resources},
    security,
    status::Verdict,
};
use api_types::Quantity;
use std::collections::BTreeMap;

/// `others` are the pods already admitted and not over.
pub fn admit(pod: &Pod, node: &Node, others: &[&Pod], allowed_sysctls: &[String]) -> Result<(), Verdict> {
    let empty = Resources::new();
    let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref()).unwrap_or(&empty);
    if let Some(os) = pod.spec.as_ref().and_then(|s| s.os.as_ref())
        && os.name != "linux"
    {
        return Err(Verdict::rejected(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        ));
    }
    sysctls(pod, allowed_sysctls)?;
    resources_fit(pod, allocatable, others)?;
    if !matches_node(pod, node) {
        return Err(Verdict::rejected("NodeAffinity", "Predicate NodeAffinity failed"));
    }
    if conflicting_port(pod, others) {
        return Err(Verdict::rejected("NodePorts", "Predicate NodePorts failed"));
    }
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    if !names::is_static(pod) && taints.iter().any(|t| t.effect == "NoExecute" && !tolerates(pod, t)) {
        return Err(Verdict::rejected("TaintToleration", "Predicate TaintToleration failed"));
    }
    Ok(())
}

/// A profile that nothing enforces is worse than none. `enforced` is whether the node's kernel does.
pub fn armored(pod: &Pod, enforced: bool) -> Result<(), Verdict> {
    let profile = |container: &Container| security::effective(pod, container).apparmor;
    let confines = |container: &Container| profile(container).is_some_and(|(kind, _)| kind != "Unconfined");
    if !enforced && names::all_containers(pod).iter().any(confines) {
        return Err(Verdict::rejected("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"));
    }
    Ok(())
}

pub(crate) fn resources_fit(pod: &Pod, allocatable: &Resources, others: &[&Pod]) -> Result<(), Verdict> {
    let out_of = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        Err(Verdict::rejected(&format!("OutOf{name}"), &message))
    };
    let pods = resources::value(Some(allocatable), "pods");
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if pods > 0 && count + 1 > pods {
        return out_of("pods", 1, count, pods);
    }
    let mut used: BTreeMap<String, Quantity> = BTreeMap::new();
    for (name, amount) in others.iter().flat_map(|p| resources::pod_requests(p)) {
        let sum = match used.remove(&name) {
            Some(before) => before + amount,
            None => amount,
        };
        used.insert(name, sum);
    }
    for (name, wanted) in resources::pod_requests(pod) {
        if wanted.is_zero() {
            continue;
        }
        let number = |q: &Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
        let capacity = resources::quantity(Some(allocatable), &name).map_or(0, |q| number(&q));
        let taken = used.get(&name).map_or(0, number);
        if taken + number(&wanted) > capacity {
            return out_of(&name, number(&wanted), taken, capacity);
        }
    }
    Ok(())
}

fn matches_node(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    if !spec.node_selector.iter().flatten().all(|(k, v)| labels.get(k) == Some(v)) {
        return false;
    }
    let required = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let Some(required) = required.and_then(|n| n.required_during_scheduling_ignored_during_execution.as_ref()) else {
        return true;
    };
    required.node_selector_terms.iter().any(|term| {
        let (expressions, fields) =
            (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
        let name = node.metadata.name.as_ref();
        !(expressions.is_empty() && fields.is_empty())
            && expressions.iter().all(|r| requirement(r, labels.get(&r.key)))
            && fields.iter().all(|r| requirement(r, name.filter(|_| r.key == "metadata.name")))
    })
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let compare = |greater: bool| {
        let (Some(have), Some(want)) =
            (value.and_then(|v| v.parse::<i64>().ok()), values.first().and_then(|v| v.parse::<i64>().ok()))
        else {
            return false;
        };
        if greater { have > want } else { have < want }
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(true),
        "Lt" => compare(false),
        _ => false,
    }
}

/// Also answers for pods already running when a taint appears.
pub fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default().iter().any(|t| {
        let effect = t.effect.as_deref().unwrap_or_default();
        let key = t.key.as_deref().unwrap_or_default();
        let exists = t.operator.as_deref() == Some("Exists");
        let value = t.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
        (effect.is_empty() || effect == taint.effect)
            && ((key.is_empty() && exists) || (key == taint.key && (exists || value)))
    })
}

fn conflicting_port(pod: &Pod, others: &[&Pod]) -> bool {
    let wanted = host_ports(pod);
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    others.iter().flat_map(|o| host_ports(o)).any(|(ip, protocol, port)| {
        wanted.iter().any(|(i, p, n)| *n == port && *p == protocol && (any(i) || any(&ip) || *i == ip))
    })
}

fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let containers =
        names::containers(pod).iter().chain(names::init_containers(pod).iter().filter(|c| names::is_sidecar(c)));
    containers
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0)?;
            Some((p.host_ip.clone().unwrap_or_default(), p.protocol.clone().unwrap_or_else(|| "TCP".into()), port))
        })
        .collect()
}

/// Sysctls that are namespaced and cannot hurt other pods.
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

fn sysctls(pod: &Pod, allowed: &[String]) -> Result<(), Verdict> {
    let wanted = pod
        .spec
        .as_ref()
        .and_then(|s| s.security_context.as_ref())
        .and_then(|c| c.sysctls.as_deref())
        .unwrap_or_default();
    let safe = SAFE_SYSCTLS.into_iter().chain(["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"]);
    for sysctl in wanted {
        let name = sysctl.name.replace('/', ".");
        let listed = allowed.iter().any(|a| a == &name || a.strip_suffix('*').is_some_and(|p| name.starts_with(p)));
        if !safe.clone().any(|s| s == name) && !listed {
            let message = format!("forbidden sysctl: {:?} not allowlisted", sysctl.name);
            return Err(Verdict::rejected("SysctlForbidden", &message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::{Value, json};

    fn check(spec: Value, others: &[Value], want: &str) {
        let make = |extra: &Value| {
            let mut pod = samples::pod("Always", &[], &["a"]);
            let mut value = serde_json::to_value(pod.spec.unwrap()).unwrap();
            value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            pod.spec = serde_json::from_value(value).unwrap();
            pod
        };
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"disk": "ssd"}},
            "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]},
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "3"}}}))
        .unwrap();
        let others: Vec<Pod> = others.iter().map(make).collect();
        let got = admit(&make(&spec), &node, &others.iter().collect::<Vec<_>>(), &[]);
        assert_eq!(got.map_or_else(|v| format!("{}: {}", v.reason, v.message), |()| "ok".into()), want);
    }

    #[test]
    fn a_profile_needs_somebody_who_enforces_it() {
        let pod = |kind: &str| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}],
                "securityContext": {"appArmorProfile": {"type": kind}}}}))
            .unwrap()
        };
        let text = armored(&pod("RuntimeDefault"), false).unwrap_err().message;
        assert_eq!(text, "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host");
        assert!(armored(&pod("RuntimeDefault"), true).is_ok() && armored(&pod("Unconfined"), false).is_ok());
    }

    #[test]
    fn reasons() {
        let tolerant = json!([{"operator": "Exists"}]);
        let cpu = |amount: &str| json!({"tolerations": tolerant, "containers": [{"name": "a", "resources": {"requests": {"cpu": amount}}}]});
        check(cpu("600m"), &[], "ok");
        check(
            cpu("600m"),
            &[cpu("500m")],
            "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 500, capacity: 1000",
        );
        let plain = json!({"tolerations": tolerant});
        check(
            plain.clone(),
            &[plain.clone(), plain.clone(), plain.clone()],
            "OutOfpods: Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
        );
        check(json!({}), &[], "TaintToleration: Pod was rejected: Predicate TaintToleration failed");
        check(
            json!({"nodeSelector": {"disk": "hdd"}}),
            &[],
            "NodeAffinity: Pod was rejected: Predicate NodeAffinity failed",
        );
        let port = json!({"tolerations": tolerant, "containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 80}]}]});
        check(port.clone(), &[port], "NodePorts: Pod was rejected: Predicate NodePorts failed");
        let sysctl = json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}});
        check(sysctl, &[], "SysctlForbidden: Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
    }
}
