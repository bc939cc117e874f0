//! The legacy form: `/api`, `/apis`, and one list of resources for each group and version.

use api_rules::{Kind, Scope};
use api_types::names::api_version;
use serde_json::{Value, json};

use crate::registry::Group;

/// All documents by path.
pub fn documents(groups: &[Group], server_address: &str) -> Vec<(String, Value)> {
    let (core, named): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.name.is_empty());
    let core_versions: Vec<_> = core.iter().flat_map(|group| &group.versions).map(|of| of.version).collect();
    let mut documents = vec![
        (
            "/api".to_owned(),
            json!({
                "kind": "APIVersions",
                "versions": core_versions,
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
            }),
        ),
        (
            "/apis".to_owned(),
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named.iter().map(|g| group(g)).collect::<Vec<_>>()}),
        ),
    ];
    for each in groups {
        let folder = if each.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", each.name) };
        if !each.name.is_empty() {
            let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
            if let (Some(document), Value::Object(group)) = (document.as_object_mut(), group(each)) {
                document.extend(group);
            }
            documents.push((folder.clone(), document));
        }
        for of in &each.versions {
            let group_version = api_version(each.name, of.version);
            let resources: Vec<Value> = of.served.iter().flat_map(|served| resources(&*served.kind)).collect();
            let document = json!({
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": group_version,
                "resources": resources,
            });
            documents.push((format!("{folder}/{}", of.version), document));
        }
    }
    documents
}

fn group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|of| json!({"groupVersion": api_version(group.name, of.version), "version": of.version}))
        .collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions[0]})
}

/// The resource and its subresources.
fn resources(kind: &dyn Kind) -> Vec<Value> {
    let names = kind.names();
    let namespaced = kind.scope() == Scope::Namespaced;
    let mut resource = json!({
        "name": names.plural,
        "singularName": names.singular,
        "namespaced": namespaced,
        "kind": names.kind,
        "verbs": kind.verbs(),
    });
    for (field, list) in [("shortNames", names.short_names), ("categories", names.categories)] {
        if !list.is_empty() {
            resource[field] = json!(list);
        }
    }
    let mut resources = vec![resource];
    let mut subresources: Vec<_> = kind.subresources().iter().collect();
    subresources.sort_by_key(|sub| sub.name);
    for sub in subresources {
        let mut resource = json!({
            "name": format!("{}/{}", names.plural, sub.name),
            "singularName": "",
            "namespaced": namespaced,
        });
        if (sub.group, sub.version) != (names.group, names.version) {
            resource["group"] = json!(sub.group);
            resource["version"] = json!(sub.version);
        }
        resource["kind"] = json!(sub.kind);
        resource["verbs"] = json!(sub.verbs);
        resources.push(resource);
    }
    resources
}
