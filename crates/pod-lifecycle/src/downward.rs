//! Values of the downward API: fields of the pod and resources of its containers.

use crate::{
    core::{Container, Pod, ResourceFieldSelector},
    names,
    resources::{self, Resources},
};
use api_types::Quantity;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    #[error("unsupported container resource : {0}")]
    Resource(String),
    #[error("container {0} not found")]
    Container(String),
    #[error("the divisor {0:?} is not a quantity")]
    Divisor(String),
    /// Known only once the sandbox runs.
    #[error("the pod has no address yet")]
    NoAddress,
}

/// What the node adds to the pod's own fields.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub host_ips: &'a [String],
    pub pod_ips: &'a [String],
    pub allocatable: &'a Resources,
}

pub fn field(pod: &Pod, path: &str, node: &Node) -> Result<String, Error> {
    if let Some((base, key)) = subscript(path) {
        let map = match base {
            "metadata.labels" => &pod.metadata.labels,
            "metadata.annotations" => &pod.metadata.annotations,
            _ => return Err(Error::Field(path.to_owned())),
        };
        return Ok(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    match path {
        "metadata.name" => text(pod.metadata.name.as_ref()),
        "metadata.namespace" => text(pod.metadata.namespace.as_ref()),
        "metadata.uid" => text(pod.metadata.uid.as_ref()),
        "metadata.labels" => Ok(map(pod.metadata.labels.as_ref())),
        "metadata.annotations" => Ok(map(pod.metadata.annotations.as_ref())),
        "spec.nodeName" => text(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.hostIP" => text(node.host_ips.first()),
        "status.hostIPs" => Ok(node.host_ips.join(",")),
        "status.podIP" => node.pod_ips.first().cloned().ok_or(Error::NoAddress),
        "status.podIPs" if node.pod_ips.is_empty() => Err(Error::NoAddress),
        "status.podIPs" => Ok(node.pod_ips.join(",")),
        other => Err(Error::Field(other.to_owned())),
    }
}

/// `metadata.labels['key']` into its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (base, rest) = path.split_once("['")?;
    Some((base, rest.strip_suffix("']")?))
}

/// A map as the volume's file shows it: `key="value"`, one a line, sorted, values as Go quotes them.
fn map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<_> = map.into_iter().flatten().map(|(k, v)| format!("{k}={}", quoted(v))).collect();
    lines.join("\n")
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A container's request or limit, divided and rounded up; limits not set are what the node can give.
pub fn resource(
    pod: &Pod,
    default: Option<&Container>,
    selector: &ResourceFieldSelector,
    node: &Node,
) -> Result<String, Error> {
    let all = names::all_containers(pod);
    let container = match selector.container_name.as_deref().filter(|n| !n.is_empty()) {
        Some(name) => all.iter().find(|c| c.name == name).ok_or_else(|| Error::Container(name.to_owned()))?,
        None => default.ok_or_else(|| Error::Container(String::new()))?,
    };
    let (side, name) = selector.resource.split_once('.').ok_or_else(|| Error::Resource(selector.resource.clone()))?;
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let wanted = container.resources.as_ref();
    let amount = match side {
        _ if !known => return Err(Error::Resource(selector.resource.clone())),
        "requests" => resources::quantity(wanted.and_then(|r| r.requests.as_ref()), name),
        "limits" => resources::quantity(wanted.and_then(|r| r.limits.as_ref()), name)
            .filter(|q| !q.is_zero())
            .or_else(|| resources::quantity(Some(node.allocatable), name)),
        _ => return Err(Error::Resource(selector.resource.clone())),
    };
    let Some(amount) = amount else { return Ok("0".into()) };
    let text = selector.divisor.as_ref().map(|d| d.0.as_str()).unwrap_or_default();
    let divisor = match text {
        "" | "0" => Quantity::parse("1"),
        other => Quantity::parse(other),
    };
    let divisor = divisor.map_err(|_| Error::Divisor(text.to_owned()))?;
    let (amount, divisor) =
        if name == "cpu" { (amount.milli_value(), divisor.milli_value()) } else { (amount.value(), divisor.value()) };
    let divisor = divisor.max(1);
    Ok((amount / divisor + i64::from(amount % divisor > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::json;

    fn node(allocatable: &Resources) -> Node<'_> {
        Node { host_ips: &[], pod_ips: &[], allocatable }
    }

    #[test]
    fn fields() {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.metadata.labels = Some([("b".to_owned(), "2\n\"".to_owned()), ("a".to_owned(), "1".to_owned())].into());
        let none = Resources::new();
        let get = |path: &str| field(&pod, path, &node(&none));
        assert_eq!(get("metadata.labels").unwrap(), "a=\"1\"\nb=\"2\\n\\\"\"");
        assert_eq!(get("metadata.labels['a']").unwrap(), "1");
        assert_eq!(get("metadata.annotations['x']").unwrap(), "");
        assert_eq!(get("status.podIP"), Err(Error::NoAddress));
        assert_eq!(get("spec.x").unwrap_err().to_string(), "unsupported fieldPath: spec.x");
    }

    #[test]
    fn resources_divide_and_round_up() {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m"}}))
                .unwrap();
        let allocatable: Resources = serde_json::from_value(json!({"memory": "1Gi", "cpu": "2"})).unwrap();
        for (resource_name, divisor, want) in [
            ("requests.cpu", "1m", "250"),
            ("limits.cpu", "", "2"),
            ("requests.memory", "1Mi", "32"),
            ("limits.memory", "1Mi", "1024"),
            ("requests.ephemeral-storage", "", "0"),
        ] {
            let selector = serde_json::from_value(json!({"resource": resource_name, "divisor": divisor})).unwrap();
            let got = resource(&pod, Some(&names::containers(&pod)[0]), &selector, &node(&allocatable));
            assert_eq!(got.as_deref(), Ok(want), "{resource_name}");
        }
    }
}
