//! The aggregated form: an APIGroupDiscoveryList of apidiscovery.k8s.io, v2 and v2beta1, which differ in name only.

use api_rules::{Kind, Scope};
use serde_json::{Value, json};

use crate::registry::Group;

pub fn document<'a>(groups: impl Iterator<Item = &'a Group>, version: &str) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": groups.map(group).collect::<Vec<_>>(),
    })
}

fn group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|of| {
            let resources: Vec<Value> = of.served.iter().map(|served| resource(&*served.kind)).collect();
            json!({"version": of.version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn resource(kind: &dyn Kind) -> Value {
    let names = kind.names();
    let mut resource = json!({
        "resource": names.plural,
        "responseKind": {"group": names.group, "version": names.version, "kind": names.kind},
        "scope": match kind.scope() { Scope::Namespaced => "Namespaced", Scope::Cluster => "Cluster" },
        "singularResource": names.singular,
        "verbs": kind.verbs(),
    });
    for (field, list) in [("shortNames", names.short_names), ("categories", names.categories)] {
        if !list.is_empty() {
            resource[field] = json!(list);
        }
    }
    let mut subresources: Vec<_> = kind.subresources().iter().collect();
    subresources.sort_by_key(|sub| sub.name);
    if !subresources.is_empty() {
        let list = subresources.into_iter().map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        });
        resource["subresources"] = list.collect();
    }
    resource
}
