//! CustomResourceDefinition: a kind that comes while the server runs.
//!
//! Here is what a definition may say. What it means for its objects is in `custom/`; that its names are accepted and that it is
//! served, the API server says in its status.

mod combined;
mod lists;
mod names;
mod schema;
mod structural;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    custom::establish::{self, Condition, FINALIZER, set_condition},
    kind::{Context, Names, Scope, Storage, Subresource},
    names::{dns_subdomain, one_of},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct CustomResourceDefinition;

const GROUP: &str = "apiextensions.k8s.io";

impl Resource for CustomResourceDefinition {
    type Object = v1::CustomResourceDefinition;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "CustomResourceDefinition",
        list_kind: "CustomResourceDefinitionList",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> =
        Some(Storage { prefix: "apiextensions.k8s.io/customresourcedefinitions", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[Subresource {
        name: "status",
        group: GROUP,
        version: "v1",
        kind: "CustomResourceDefinition",
        verbs: GET_PATCH_UPDATE,
    }];
    const GENERATION: bool = true;
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        let kind = value::text(spec, &["names", "kind"]).to_owned();
        if !kind.is_empty() {
            let names = value::child(spec, "names");
            value::default(names, "singular", kind.to_lowercase());
            value::default(names, "listKind", format!("{kind}List"));
        }
        value::default(value::child(spec, "conversion"), "strategy", "None");
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        keep_stored_versions(object);
    }

    fn prepare_update(new: &mut Value, _: &Value, subresource: Option<&str>, _: &Context) {
        if subresource.is_none() {
            keep_stored_versions(new);
        }
    }

    /// Instances go first: the finalizer holds the definition until they have.
    fn prepare_delete(object: &mut Value, now: Timestamp) {
        let mut finalizers = value::items(object, &["metadata", "finalizers"]).to_vec();
        if !finalizers.iter().any(|name| name == FINALIZER) {
            finalizers.push(FINALIZER.into());
            value::set(object, &["metadata", "finalizers"], finalizers.into());
        }
        let why = "CustomResourceDefinition marked for deletion; CustomResource deletion will be initiated soon";
        set_condition(object, &Condition::terminating(true, "InstanceDeletionPending", why), now);
    }

    fn validate(object: &v1::CustomResourceDefinition, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        let wanted = format!("{}.{}", spec.names.plural, spec.group);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if name != wanted {
            let why = "must be spec.names.plural+\".\"+spec.group";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
        }
        validate_group(object, &path.child("group"), errors);
        match spec.scope.as_str() {
            "" => errors.push(FieldError::required(&path.child("scope"), "")),
            scope => one_of(scope, &["Cluster", "Namespaced"], &path.child("scope"), errors),
        }
        names::validate(&spec.names, &path.child("names"), errors);
        versions::validate(spec, &path, errors);
        validate_conversion(spec, &path.child("conversion"), errors);
        let status = object.status.as_ref();
        let stored = status.and_then(|status| status.stored_versions.as_deref()).unwrap_or_default();
        validate_stored_versions(stored, &spec.versions, errors);
    }

    fn validate_update(
        new: &v1::CustomResourceDefinition,
        old: &v1::CustomResourceDefinition,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource == Some("status") {
            let stored = new.status.as_ref().and_then(|status| status.stored_versions.as_deref()).unwrap_or_default();
            validate_stored_versions(stored, &new.spec.versions, errors);
            return;
        }
        let path = Path::new("spec");
        let mut kept = |path: Path, new: &str, old: &str| {
            if new != old {
                errors.push(FieldError::invalid(&path, new, "field is immutable"));
            }
        };
        let conditions = old.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
            kept(path.child("scope"), &new.spec.scope, &old.spec.scope);
            kept(path.child("names").child("kind"), &new.spec.names.kind, &old.spec.names.kind);
        }
        kept(path.child("group"), &new.spec.group, &old.spec.group);
        kept(path.child("names").child("plural"), &new.spec.names.plural, &old.spec.names.plural);
    }

    fn warnings(object: &v1::CustomResourceDefinition) -> Vec<String> {
        versions::warnings(&object.spec)
    }

    fn cells(object: &v1::CustomResourceDefinition, _: Timestamp) -> Vec<Value> {
        let created = object.metadata.creation_timestamp.as_ref();
        vec![object.metadata.name.clone().unwrap_or_default().into(), json!(created.map(|time| &time.0))]
    }
}

/// The version that is stored from now on is one that was ever stored.
fn keep_stored_versions(object: &mut Value) {
    let versions = value::items(object, &["spec", "versions"]);
    let Some(storage) = versions.iter().find(|version| version["storage"] == true) else { return };
    let storage = storage["name"].clone();
    let mut stored = value::items(object, &["status", "storedVersions"]).to_vec();
    if !stored.contains(&storage) {
        stored.push(storage);
        value::set(object, &["status", "storedVersions"], stored.into());
    }
}

fn validate_group(object: &v1::CustomResourceDefinition, path: &Path, errors: &mut Vec<FieldError>) {
    let group = object.spec.group.as_str();
    let wrong = dns_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
    if !establish::is_protected(group) {
        return;
    }
    let annotations = object.metadata.annotations.as_ref();
    let approval = annotations.and_then(|all| all.get(establish::API_APPROVED)).map(String::as_str).unwrap_or_default();
    let at = Path::new("metadata").child("annotations").key(establish::API_APPROVED);
    if approval.is_empty() {
        let why = format!(
            "protected groups must have approval annotation {:?}, see https://github.com/kubernetes/enhancements/pull/1111",
            establish::API_APPROVED
        );
        errors.push(FieldError::required(&at, why));
    } else if !approval.starts_with("unapproved") && !establish::is_url(approval) {
        errors.push(FieldError::invalid(&at, approval, establish::invalid_approval()));
    }
}

fn validate_conversion(spec: &v1::CustomResourceDefinitionSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(conversion) = &spec.conversion else { return };
    match conversion.strategy.as_str() {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" if conversion.webhook.is_some() => errors.push(FieldError::forbidden(
            &path.child("webhook"),
            "should not be set when strategy is not set to Webhook",
        )),
        "None" => {}
        "Webhook" => errors.push(FieldError::forbidden(
            &path.child("strategy"),
            "conversion by webhooks is not supported by this server yet: all versions must have strategy None",
        )),
        other => one_of(other, &["None", "Webhook"], &path.child("strategy"), errors),
    }
}

fn validate_stored_versions(
    stored: &[String],
    versions: &[v1::CustomResourceDefinitionVersion],
    errors: &mut Vec<FieldError>,
) {
    let path = Path::new("status").child("storedVersions");
    if stored.is_empty() {
        errors.push(FieldError::invalid(&path, json!(stored), "must have at least one stored version"));
        return;
    }
    let known: BTreeSet<&str> = versions.iter().map(|version| version.name.as_str()).collect();
    for (i, version) in stored.iter().enumerate() {
        if !known.contains(version.as_str()) {
            errors.push(FieldError::invalid(&path.index(i), version.as_str(), "must appear in spec.versions"));
        }
    }
    if let Some(storage) = versions.iter().find(|version| version.storage)
        && !stored.contains(&storage.name)
    {
        let why = format!("must have the storage version {}", storage.name);
        errors.push(FieldError::invalid(&path, json!(stored), why));
    }
}
