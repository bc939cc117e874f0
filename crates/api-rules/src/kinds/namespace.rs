//! Namespace: born active and with a finalizer that its controller removes when the contents are gone.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    names,
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

/// What labels about the security of a namespace's pods begin with.
const POD_SECURITY: &str = "pod-security.kubernetes.io/";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

pub struct Namespace;

impl Resource for Namespace {
    type Object = v1::Namespace;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Namespace",
        list_kind: "NamespaceList",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
    const STORAGE: Option<Storage> = Some(Storage { prefix: "namespaces", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        Subresource { name: "finalize", group: "", version: "v1", kind: "Namespace", verbs: &["update"] },
        Subresource { name: "status", group: "", version: "v1", kind: "Namespace", verbs: GET_PATCH_UPDATE },
    ];
    const FIELDS: &'static [&'static str] = &["status.phase"];
    const NAME_RULE: NameRule = metadata::dns_label;

    fn set_defaults(object: &mut Value) {
        let name = value::text(object, &["metadata", "name"]).to_owned();
        if !name.is_empty() {
            value::set(object, &["metadata", "labels", NAME_LABEL], name.into());
        }
    }

    fn prepare_create(object: &mut Value, _context: &Context) {
        value::set(object, &["status"], json!({"phase": "Active"}));
        let finalizers = value::child(value::child(object, "spec"), "finalizers");
        match finalizers.as_array_mut() {
            Some(list) if list.iter().any(|f| f == "kubernetes") => {}
            Some(list) => list.push(json!("kubernetes")),
            None => *finalizers = json!(["kubernetes"]),
        }
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _context: &Context) {
        match subresource {
            Some("finalize") => value::copy(new, old, &["status"]),
            _ => value::copy(new, old, &["spec"]),
        }
    }

    fn validate(object: &v1::Namespace, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec").child("finalizers");
        for finalizer in object.spec.iter().flat_map(|s| s.finalizers.iter().flatten()) {
            let wrong = names::qualified_name(finalizer);
            if wrong.is_empty() && !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer.as_str()) {
                let why = "name is neither a standard finalizer name nor is it fully qualified";
                errors.push(FieldError::invalid(&path, finalizer.as_str(), why));
            }
            names::report(wrong, &path, finalizer, errors);
        }
    }

    fn validate_update(
        new: &v1::Namespace,
        _: &v1::Namespace,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource != Some("status") {
            return;
        }
        let phase = new.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
        let why = match new.metadata.deletion_timestamp {
            None if phase != "Active" => "may only be 'Active' if `deletionTimestamp` is empty",
            Some(_) if phase != "Terminating" => "may only be 'Terminating' if `deletionTimestamp` is not empty",
            _ => return,
        };
        errors.push(FieldError::invalid(&Path::new("status").child("Phase"), phase, why));
    }

    fn warnings(object: &v1::Namespace) -> Vec<String> {
        let labels = object.metadata.labels.iter().flatten().map(|(key, _)| key);
        let of_pods = labels.filter(|key| key.starts_with(POD_SECURITY));
        of_pods
            .map(|key| format!("{key} is stored but not enforced: pods are not held to security standards"))
            .collect()
    }

    fn cells(object: &v1::Namespace, now: Timestamp) -> Vec<Value> {
        let phase = object.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
        vec![cells::name(&object.metadata), phase.into(), duration::age(&object.metadata, now)]
    }
}
