//! The rules of `metadata` that hold for every kind. The name, uid and creation time themselves are given by the server.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use serde_json::{Value, json};

use crate::{kind::Scope, names, value};

/// What a name may look like; the flag says that it is only the beginning of one (`generateName`).
pub type NameRule = fn(&str, bool) -> Vec<String>;

/// Bytes of all annotations of an object.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    names::dns_subdomain(&whole(name, prefix))
}

pub fn dns_label(name: &str, prefix: bool) -> Vec<String> {
    names::dns_label(&whole(name, prefix))
}

pub fn dns_1035_label(name: &str, prefix: bool) -> Vec<String> {
    names::dns_1035_label(&whole(name, prefix))
}

pub fn path_segment(name: &str, _prefix: bool) -> Vec<String> {
    names::path_segment(name)
}

/// A prefix may end with a dash, since something follows.
fn whole(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(cut) if prefix && !cut.is_empty() => format!("{cut}a"),
        _ => name.to_owned(),
    }
}

/// Drops what only the server may say about a new object.
pub fn prepare_create(object: &mut Value) {
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        value::remove(object, &["metadata", member]);
    }
}

/// Carries over what an update may leave out, and what only the server may say.
pub fn prepare_update(new: &mut Value, old: &Value) {
    for member in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if value::at(new, &["metadata", member]).is_none() {
            value::copy(new, old, &["metadata", member]);
        }
    }
    value::copy(new, old, &["metadata", "generation"]);
    value::remove(new, &["metadata", "selfLink"]);
}

pub fn validate(meta: &ObjectMeta, scope: Scope, rule: NameRule, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    if let Some(prefix) = meta.generate_name.as_deref().filter(|p| !p.is_empty()) {
        let at = path.child("generateName");
        errors.extend(rule(prefix, true).into_iter().map(|e| FieldError::invalid(&at, prefix, e)));
    }
    let at = path.child("name");
    match meta.name.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "name or generateName is required")),
        name => errors.extend(rule(name, false).into_iter().map(|e| FieldError::invalid(&at, name, e))),
    }
    let at = path.child("namespace");
    match (scope, meta.namespace.as_deref().unwrap_or_default()) {
        (Scope::Namespaced, "") => errors.push(FieldError::required(&at, "")),
        (Scope::Namespaced, namespace) => {
            errors.extend(names::dns_label(namespace).into_iter().map(|e| FieldError::invalid(&at, namespace, e)));
        }
        (Scope::Cluster, "") => {}
        (Scope::Cluster, _) => errors.push(FieldError::forbidden(&at, "not allowed on this type")),
    }
    validate_owned(meta, &path, errors);
}

pub fn validate_update(new: &ObjectMeta, old: &ObjectMeta, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    if old.deletion_timestamp.is_some() {
        let had: BTreeSet<_> = old.finalizers.iter().flatten().collect();
        let added: Vec<_> =
            new.finalizers.iter().flatten().filter(|f| !had.contains(f)).map(|f| format!("{f:?}")).collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                &path.child("finalizers"),
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    let mut immutable = |member: &str, new: Value, old: Value| {
        if new != old {
            errors.push(FieldError::invalid(&path.child(member), new, "field is immutable"));
        }
    };
    immutable("name", json!(new.name), json!(old.name));
    immutable("namespace", json!(new.namespace), json!(old.namespace));
    immutable("uid", json!(new.uid), json!(old.uid));
    immutable("creationTimestamp", json!(new.creation_timestamp), json!(old.creation_timestamp));
    immutable("deletionTimestamp", json!(new.deletion_timestamp), json!(old.deletion_timestamp));
    immutable(
        "deletionGracePeriodSeconds",
        json!(new.deletion_grace_period_seconds),
        json!(old.deletion_grace_period_seconds),
    );
    validate_owned(new, &path, errors);
}

/// The parts that anybody may change.
fn validate_owned(meta: &ObjectMeta, path: &Path, errors: &mut Vec<FieldError>) {
    validate_labels(meta.labels.as_ref(), &path.child("labels"), errors);
    validate_annotations(meta.annotations.as_ref(), &path.child("annotations"), errors);
    validate_owners(meta.owner_references.as_deref().unwrap_or_default(), &path.child("ownerReferences"), errors);
    validate_finalizers(meta.finalizers.as_deref().unwrap_or_default(), &path.child("finalizers"), errors);
}

pub fn validate_labels(labels: Option<&BTreeMap<String, String>>, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, text) in labels.into_iter().flatten() {
        errors.extend(names::qualified_name(key).into_iter().map(|e| FieldError::invalid(path, key.as_str(), e)));
        errors.extend(names::label_value(text).into_iter().map(|e| FieldError::invalid(path, text.as_str(), e)));
    }
}

pub fn validate_annotations(annotations: Option<&BTreeMap<String, String>>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, text) in annotations.into_iter().flatten() {
        size += key.len() + text.len();
        let errors_of_key = names::qualified_name(&key.to_lowercase());
        errors.extend(errors_of_key.into_iter().map(|e| FieldError::invalid(path, key.as_str(), e)));
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
}

fn validate_owners(owners: &[OwnerReference], path: &Path, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&str> = None;
    for (i, owner) in owners.iter().enumerate() {
        let path = path.index(i);
        let mut filled = |member: &str, text: &str, why: &str| {
            if text.is_empty() {
                errors.push(FieldError::invalid(&path.child(member), text, why));
            }
        };
        filled("apiVersion", &owner.api_version, "version must not be empty");
        filled("kind", &owner.kind, "must not be empty");
        filled("name", &owner.name, "must not be empty");
        filled("uid", &owner.uid, "must not be empty");
        if (owner.api_version.as_str(), owner.kind.as_str()) == ("v1", "Event") {
            errors.push(FieldError::invalid(&path, json!(owner), "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.controller == Some(true) {
            match controller {
                None => controller = Some(&owner.name),
                Some(first) => errors.push(FieldError::invalid(
                    &path,
                    json!(owners),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                        owner.name
                    ),
                )),
            }
        }
    }
}

fn validate_finalizers(finalizers: &[String], path: &Path, errors: &mut Vec<FieldError>) {
    for finalizer in finalizers {
        errors.extend(
            names::qualified_name(finalizer).into_iter().map(|e| FieldError::invalid(path, finalizer.as_str(), e)),
        );
    }
    if ["orphan", "foregroundDeletion"].iter().all(|f| finalizers.iter().any(|have| have == f)) {
        errors.push(FieldError::invalid(
            path,
            json!(finalizers),
            "finalizer set: cannot contain both \"orphan\" and \"foregroundDeletion\"",
        ));
    }
}

/// What upstream warns of in metadata that is valid all the same.
pub fn warnings(meta: &ObjectMeta) -> Vec<String> {
    meta.finalizers
        .iter()
        .flatten()
        .filter(|f| !f.contains('/') && !STANDARD_FINALIZERS.contains(&f.as_str()))
        .map(|f| {
            format!(
                "metadata.finalizers: {f:?}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
            )
        })
        .collect()
}
