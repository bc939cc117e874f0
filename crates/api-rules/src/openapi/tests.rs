use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn v3_group(group: &str, version: &str) -> Value {
    let of_group = |kind: &&&dyn Kind| (kind.names().group, kind.names().version) == (group, version);
    v3(&kinds::all().iter().filter(of_group).map(|kind| *kind as &dyn Kind).collect::<Vec<_>>())
}

fn v2_document() -> Value {
    v2(&kinds::all().iter().map(|kind| *kind as &dyn Kind).collect::<Vec<_>>())
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

fn check_references(document: &Value, prefix: &str, definitions: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let name = reference.strip_prefix(prefix).unwrap_or_else(|| panic!("{reference}"));
        assert!(definitions.get(name).is_some(), "{reference}");
    }
}

#[test]
fn references_lead_somewhere() {
    for kind in kinds::all().iter().filter(|k| !k.names().plural.is_empty()) {
        let document = v3_group(kind.names().group, kind.names().version);
        check_references(&document, "#/components/schemas/", &document["components"]["schemas"]);
    }
    let document = v2_document();
    check_references(&document, "#/definitions/", &document["definitions"]);
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let document = v3_group("apps", "v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "kind": "Deployment", "version": "v1"})
    );
    assert_eq!(patch["x-kubernetes-action"], "patch");
    let names: Vec<_> = patch["parameters"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
    let spec = &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(spec["containers"]["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(spec["containers"]["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(spec["nodeSelector"]["x-kubernetes-map-type"], "atomic");
    assert_eq!(spec["affinity"]["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.Affinity"}]));
    let v2 = v2_document();
    assert_eq!(
        v2["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["affinity"]["$ref"],
        "#/definitions/io.k8s.api.core.v1.Affinity"
    );
    assert_eq!(
        v2["definitions"]["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "kind": "Pod", "version": "v1"}])
    );
    assert!(v2["definitions"].get("io.k8s.api.core.v1.PodList").is_some());
}

#[test]
fn fields_say_what_they_may_hold() {
    let document = v3_group("", "v1");
    let property = |type_: &str, field: &str| {
        document["components"]["schemas"][format!("io.k8s.api.core.v1.{type_}")]["properties"][field].clone()
    };
    let protocol = property("ContainerPort", "protocol");
    assert_eq!((&protocol["default"], &protocol["enum"]), (&json!("TCP"), &json!(["SCTP", "TCP", "UDP"])));
    let description = protocol["description"].as_str().unwrap();
    assert!(
        description.ends_with("\n\nPossible enum values:\n - `\"SCTP\"`\n - `\"TCP\"`\n - `\"UDP\"`"),
        "{description}"
    );
    let modes = property("PersistentVolumeClaimSpec", "accessModes");
    assert_eq!(modes["items"]["enum"][0], "ReadOnlyMany");
    assert_eq!(modes["items"]["default"], "");
    assert!(modes.get("enum").is_none());
    assert_eq!(property("Pod", "metadata")["default"], json!({}));
    assert_eq!(property("PodSpec", "containers")["items"]["default"], json!({}));
    assert_eq!(property("Container", "name")["default"], "");
    assert!(property("PodSpec", "affinity").get("default").is_none(), "a pointer");
    assert!(property("Container", "image").get("default").is_none(), "may be left out");
    assert!(document["components"]["schemas"]["io.k8s.api.core.v1.Pod"].get("required").is_none());
    let v2 = v2_document();
    let protocol = &v2["definitions"]["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!((protocol.get("default"), &protocol["enum"][2]), (None, &json!("UDP")));
}

#[test]
fn operation_ids_are_unique() {
    let document = v2_document();
    let mut seen = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            if let Some(id) = operation.get("operationId").and_then(Value::as_str) {
                assert!(seen.insert(id), "{id}");
            }
        }
    }
    for wanted in [
        "listCoreV1NamespacedPod",
        "readAppsV1NamespacedDeploymentScale",
        "deleteRbacAuthorizationV1ClusterRole",
        "listCoreV1PodForAllNamespaces",
    ] {
        assert!(seen.contains(wanted), "{wanted}");
    }
}

/// The shape of the protobuf: fields 1, 2, 8 and 9 of a Document, each complete.
#[test]
fn protobuf_is_well_formed() {
    let bytes = v2_protobuf(&v2_document());
    let (mut at, mut fields) = (0, Vec::new());
    let varint = |at: &mut usize| {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return n;
            }
        }
    };
    while at < bytes.len() {
        let tag = varint(&mut at);
        assert_eq!(tag & 7, 2);
        fields.push(tag >> 3);
        let length = varint(&mut at);
        at += usize::try_from(length).unwrap();
    }
    assert_eq!(at, bytes.len());
    assert_eq!(fields, [1, 2, 8, 9]);
}
