//! ResourceQuota: how much of what a namespace may use. Admission holds it, a controller counts.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    Quantity,
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{self, ResourceQuotaSpec, ScopedResourceSelectorRequirement},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    names::{self, report},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

type List = BTreeMap<String, Text>;

/// What is counted one by one.
const COUNTED: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const MEASURED: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// What a scope over pods may limit.
const OF_PODS: [&str; 7] = ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Scopes that no object can be in both of.
const EXCLUSIVE: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

pub struct ResourceQuota;

impl Resource for ResourceQuota {
    type Object = v1::ResourceQuota;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ResourceQuota",
        list_kind: "ResourceQuotaList",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "resourcequotas", cached: true });
    const SUBRESOURCES: &'static [Subresource] =
        &[Subresource { name: "status", group: "", version: "v1", kind: "ResourceQuota", verbs: GET_PATCH_UPDATE }];

    fn prepare_create(object: &mut Value, _: &Context) {
        value::set(object, &["status"], json!({}));
    }

    fn validate(object: &v1::ResourceQuota, errors: &mut Vec<FieldError>) {
        let Some(spec) = &object.spec else { return };
        let path = Path::new("spec");
        validate_list(spec.hard.as_ref(), &path.child("hard"), errors);
        validate_scopes(spec, &path.child("scopes"), errors);
        validate_selector(spec, &path.child("scopeSelector"), errors);
    }

    fn validate_update(
        new: &v1::ResourceQuota,
        old: &v1::ResourceQuota,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource == Some("status") {
            let status = new.status.clone().unwrap_or_default();
            let path = Path::new("status");
            validate_list(status.hard.as_ref(), &path.child("hard"), errors);
            validate_list(status.used.as_ref(), &path.child("used"), errors);
            return;
        }
        let scopes = |quota: &v1::ResourceQuota| -> BTreeSet<String> {
            quota.spec.iter().flat_map(|s| s.scopes.iter().flatten().cloned()).collect()
        };
        if scopes(new) != scopes(old) {
            let given = new.spec.as_ref().and_then(|s| s.scopes.clone());
            let path = Path::new("spec").child("scopes");
            errors.push(FieldError::invalid(&path, json!(given), "field is immutable"));
        }
    }

    fn cells(object: &v1::ResourceQuota, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let used = status.used.unwrap_or_default();
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in status.hard.iter().flatten() {
            let taken = used.get(name).map_or("0", |q| q.0.as_str());
            let column = if name.starts_with("limits.") { &mut limits } else { &mut requests };
            column.push(format!("{name}: {taken}/{}", hard.0));
        }
        vec![
            cells::name(&object.metadata),
            requests.join(", ").into(),
            limits.join(", ").into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_list(list: Option<&List>, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, quantity) in list.into_iter().flatten() {
        let at = path.key(name);
        let wrong = names::qualified_name(name);
        if wrong.is_empty() && !name.contains('/') && !is_standard(name) {
            errors.push(FieldError::invalid(&at, name.as_str(), "must be a standard resource for quota"));
        }
        report(wrong, &at, name, errors);
        let Ok(amount) = Quantity::try_from(quantity) else { continue };
        if amount.signum() < 0 {
            errors.push(FieldError::invalid(&at, quantity.0.as_str(), "must be greater than or equal to 0"));
        }
        if is_whole(name) && amount.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid(&at, quantity.0.as_str(), "must be an integer"));
        }
    }
}

fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || MEASURED.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Counts and extended resources come in whole units.
fn is_whole(name: &str) -> bool {
    let extended = name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.");
    COUNTED.contains(&name) || extended
}

/// Whether a scope can limit a resource; `None` for what is no scope.
fn applies(scope: &str, resource: &str) -> Option<bool> {
    Some(match scope {
        "BestEffort" => resource == "pods",
        "NotBestEffort" | "Terminating" | "NotTerminating" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            OF_PODS.contains(&resource)
        }
        "VolumeAttributesClass" => OF_CLAIMS.contains(&resource),
        _ => return None,
    })
}

/// The standard resources of a quota that a scope does not apply to.
fn beyond<'a>(spec: &'a ResourceQuotaSpec, scope: &'a str) -> impl Iterator<Item = &'a String> {
    spec.hard
        .iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(move |name| is_standard(name) && applies(scope, name) != Some(true))
}

fn validate_scopes(spec: &ResourceQuotaSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let scopes = spec.scopes.as_deref().unwrap_or_default();
    let mut refuse = |why: &str| errors.push(FieldError::invalid(path, json!(scopes), why));
    for scope in scopes {
        if applies(scope, "").is_none() {
            refuse("unsupported scope");
        }
        beyond(spec, scope).for_each(|_| refuse("unsupported scope applied to resource"));
    }
    if EXCLUSIVE.iter().any(|pair| pair.iter().all(|one| scopes.iter().any(|s| s == one))) {
        refuse("conflicting scopes");
    }
}

fn validate_selector(spec: &ResourceQuotaSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(selector) = &spec.scope_selector else { return };
    let path = path.child("matchExpressions");
    let terms = selector.match_expressions.as_deref().unwrap_or_default();
    for term in terms {
        if applies(&term.scope_name, "").is_none() {
            let at = path.child("scopeName");
            errors.push(FieldError::invalid(&at, term.scope_name.as_str(), "unsupported scope"));
        }
        for _ in beyond(spec, &term.scope_name) {
            errors.push(FieldError::invalid(&path, json!(selector), "unsupported scope applied to resource"));
        }
        validate_operator(term, &path, errors);
    }
    let named = |scope: &&str| terms.iter().any(|t| t.scope_name == *scope);
    if EXCLUSIVE.iter().any(|pair| pair.iter().all(named)) {
        errors.push(FieldError::invalid(&path, json!(spec.scopes), "conflicting scopes"));
    }
}

fn validate_operator(term: &ScopedResourceSelectorRequirement, path: &Path, errors: &mut Vec<FieldError>) {
    let operator = path.child("operator");
    let only_exists = !matches!(term.scope_name.as_str(), "PriorityClass" | "VolumeAttributesClass");
    if only_exists && applies(&term.scope_name, "").is_some() && term.operator != "Exists" {
        errors.push(FieldError::invalid(
            &operator,
            term.operator.as_str(),
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ));
    }
    let empty = term.values.as_ref().is_none_or(Vec::is_empty);
    match term.operator.as_str() {
        "In" | "NotIn" if empty => errors.push(FieldError::required(
            &path.child("values"),
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        )),
        "Exists" | "DoesNotExist" if !empty => errors.push(FieldError::invalid(
            &path.child("values"),
            json!(term.values),
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(FieldError::invalid(&operator, other, "not a valid selector operator")),
    }
}
