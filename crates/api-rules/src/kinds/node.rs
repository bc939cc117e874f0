//! Node: a machine that runs pods.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, one_of, report},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{GET_PATCH_UPDATE, PROXIED, Resource},
    value,
};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub struct Node;

impl Resource for Node {
    type Object = v1::Node;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Node",
        list_kind: "NodeList",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "minions", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        Subresource { name: "proxy", group: "", version: "v1", kind: "NodeProxyOptions", verbs: PROXIED },
        Subresource { name: "status", group: "", version: "v1", kind: "Node", verbs: GET_PATCH_UPDATE },
    ];
    const FIELDS: &'static [&'static str] = &["spec.unschedulable"];
    /// A kubelet registers its node with all it knows of it.
    const STATUS_ON_CREATE: bool = true;

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        // podCIDR is the first of podCIDRs.
        match (value::text(spec, &["podCIDR"]).to_owned(), value::items(spec, &["podCIDRs"]).first().cloned()) {
            (one, None) if !one.is_empty() => value::set(spec, &["podCIDRs"], json!([one])),
            (one, Some(first)) if one.is_empty() => value::set(spec, &["podCIDR"], first),
            _ => {}
        }
        if let Some(status) = object.get_mut("status")
            && let (Some(capacity), None) = (status.get("capacity").cloned(), status.get("allocatable"))
        {
            value::set(status, &["allocatable"], capacity);
        }
    }

    fn validate(object: &v1::Node, errors: &mut Vec<FieldError>) {
        let Some(spec) = &object.spec else { return };
        let path = Path::new("spec");
        let cidrs = spec.pod_cidrs.as_deref().unwrap_or_default();
        for (i, cidr) in cidrs.iter().enumerate() {
            report(names::cidr(cidr), &path.child("podCIDRs").index(i), cidr, errors);
        }
        if cidrs.len() > 2 {
            errors.push(FieldError::invalid(
                &path.child("podCIDRs"),
                json!(cidrs),
                "may specify no more than one CIDR for each IP family",
            ));
        }
        validate_taints(spec.taints.as_deref().unwrap_or_default(), &path.child("taints"), errors);
    }

    fn validate_update(new: &v1::Node, old: &v1::Node, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let spec = |node: &v1::Node| node.spec.clone().unwrap_or_default();
        let (new, old) = (spec(new), spec(old));
        let path = Path::new("spec");
        if old.pod_cidrs.as_ref().is_some_and(|c| !c.is_empty()) && new.pod_cidrs != old.pod_cidrs {
            errors.push(FieldError::forbidden(
                &path.child("podCIDRs"),
                "node updates may not change podCIDR except from \"\" to valid",
            ));
        }
        if old.provider_id.as_ref().is_some_and(|p| !p.is_empty()) && new.provider_id != old.provider_id {
            errors.push(FieldError::forbidden(
                &path.child("providerID"),
                "node updates may not change providerID except from \"\" to valid",
            ));
        }
    }

    fn field(object: &Value, _: &str) -> String {
        value::at(object, &["spec", "unschedulable"]).map_or_else(|| "false".to_owned(), value::plain)
    }

    fn cells(object: &v1::Node, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let info = status.node_info.clone();
        let address = |type_: &str| -> Value {
            let found = status.addresses.iter().flatten().find(|a| a.type_ == type_);
            found.map_or(NONE.to_owned(), |a| a.address.clone()).into()
        };
        let known = |text: Option<String>| {
            Value::from(text.filter(|t| !t.is_empty()).unwrap_or_else(|| "<unknown>".to_owned()))
        };
        vec![
            cells::name(&object.metadata),
            shown_status(object).into(),
            roles(object).into(),
            duration::age(&object.metadata, now),
            info.as_ref().map(|i| i.kubelet_version.clone()).unwrap_or_default().into(),
            address("InternalIP"),
            address("ExternalIP"),
            known(info.as_ref().map(|i| i.os_image.clone())),
            known(info.as_ref().map(|i| i.kernel_version.clone())),
            known(info.as_ref().map(|i| i.container_runtime_version.clone())),
        ]
    }
}

fn validate_taints(taints: &[v1::Taint], path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let at = path.index(i);
        report(names::qualified_name(&taint.key), &at.child("key"), &taint.key, errors);
        let text = taint.value.as_deref().unwrap_or_default();
        report(names::label_value(text), &at.child("value"), text, errors);
        if taint.effect.is_empty() {
            errors.push(FieldError::required(&at.child("effect"), ""));
        } else {
            one_of(&taint.effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at.child("effect"), errors);
        }
        if !seen.insert((&taint.key, &taint.effect)) {
            errors.push(FieldError::duplicate(&at, json!(taint)));
        }
    }
}

fn shown_status(object: &v1::Node) -> String {
    let ready = object.status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Ready");
    let mut text = match ready.map(|c| c.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true)) {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(object: &v1::Node) -> String {
    let labels = object.metadata.labels.iter().flatten();
    let mut roles: Vec<_> = labels
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) if !role.is_empty() => Some(role),
            None if key == ROLE_LABEL && !value.is_empty() => Some(value.as_str()),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    cells::list(roles)
}
