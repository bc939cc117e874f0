//! What the four RBAC kinds share: rules, subjects and the role referred to.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject},
};
use serde_json::{Value, json};

use crate::{metadata, names, table::cells, value};

pub const GROUP: &str = "rbac.authorization.k8s.io";

pub fn validate_rules(rules: Option<&[PolicyRule]>, namespaced: bool, errors: &mut Vec<FieldError>) {
    for (i, rule) in rules.unwrap_or_default().iter().enumerate() {
        let path = Path::new("rules").index(i);
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        if rule.verbs.is_empty() {
            errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
        }
        if !empty(&rule.non_resource_urls) {
            let at = path.child("nonResourceURLs");
            if namespaced {
                errors.push(FieldError::invalid(
                    &at,
                    json!(rule.non_resource_urls),
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            if !empty(&rule.api_groups) || !empty(&rule.resources) || !empty(&rule.resource_names) {
                errors.push(FieldError::invalid(
                    &at,
                    json!(rule.non_resource_urls),
                    "rules cannot apply to both regular resources and non-resource URLs",
                ));
            }
            continue;
        }
        if empty(&rule.api_groups) {
            errors.push(FieldError::required(
                &path.child("apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if empty(&rule.resources) {
            errors.push(FieldError::required(
                &path.child("resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
}

/// `apiGroup` of the role and of the subjects that did not say theirs.
pub fn default_binding(object: &mut Value) {
    if let Some(role) = object.get_mut("roleRef") {
        value::default(role, "apiGroup", GROUP);
    }
    value::each(object, "subjects", |subject| {
        if matches!(value::text(subject, &["kind"]), "User" | "Group") {
            value::default(subject, "apiGroup", GROUP);
        }
    });
}

pub fn validate_binding(role: &RoleRef, subjects: Option<&[Subject]>, namespaced: bool, errors: &mut Vec<FieldError>) {
    let path = Path::new("roleRef");
    names::one_of(role.api_group.as_deref().unwrap_or_default(), &[GROUP], &path.child("apiGroup"), errors);
    let kinds: &[&str] = if namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
    if !kinds.contains(&role.kind.as_str()) {
        errors.push(FieldError::not_supported(&path.child("kind"), role.kind.as_str(), kinds));
    }
    if role.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        errors.extend(
            names::path_segment(&role.name)
                .into_iter()
                .map(|e| FieldError::invalid(&path.child("name"), role.name.as_str(), e)),
        );
    }
    for (i, subject) in subjects.unwrap_or_default().iter().enumerate() {
        validate_subject(subject, namespaced, &Path::new("subjects").index(i), errors);
    }
}

fn validate_subject(subject: &Subject, namespaced: bool, path: &Path, errors: &mut Vec<FieldError>) {
    if subject.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let group = subject.api_group.as_deref().unwrap_or_default();
    let wanted = match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                let wrong = metadata::dns_subdomain(&subject.name, false);
                errors.extend(
                    wrong.into_iter().map(|e| FieldError::invalid(&path.child("name"), subject.name.as_str(), e)),
                );
            }
            if !namespaced && subject.namespace.as_ref().is_none_or(String::is_empty) {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            errors.push(FieldError::not_supported(&path.child("kind"), other, &["Group", "ServiceAccount", "User"]));
            return;
        }
    };
    if group != wanted {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[wanted]));
    }
}

pub fn validate_role_kept(new: &RoleRef, old: &RoleRef, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(&Path::new("roleRef"), json!(new), "cannot change roleRef"));
    }
}

/// The cells `Role`, and wide: users, groups, service accounts.
pub fn binding_cells(role: &RoleRef, subjects: Option<&[Subject]>) -> (Value, [Value; 3]) {
    let of = |kind: &str| -> Value {
        let names =
            subjects.unwrap_or_default().iter().filter(|s| s.kind == kind).map(|s| match (kind, &s.namespace) {
                ("ServiceAccount", Some(namespace)) => format!("{namespace}/{}", s.name),
                _ => s.name.clone(),
            });
        names.collect::<Vec<_>>().join(", ").into()
    };
    (format!("{}/{}", role.kind, role.name).into(), [of("User"), of("Group"), of("ServiceAccount")])
}

/// Cells of a role, which has no printer upstream.
pub fn role_cells(meta: &api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Vec<Value> {
    vec![cells::name(meta), crate::table::duration::created(meta)]
}
