//! IngressClass: which controller makes Ingresses true. The controller is named for ever.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::networking::v1::{self, IngressClassParametersReference},
};
use jiff::Timestamp;
use serde_json::Value;

use super::fields::{kept, named};
use crate::{
    kind::{Names, Scope, Storage},
    names::{self, one_of, report},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::Resource,
    value,
};

const CONTROLLER_MAX: usize = 250;
/// What a path behind a domain may consist of, besides letters and digits.
const PATH_SIGNS: &str = "/-._~%!$&'()*+,;=:";

pub struct IngressClass;

impl Resource for IngressClass {
    type Object = v1::IngressClass;

    const NAMES: Names = Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "IngressClass",
        list_kind: "IngressClassList",
        plural: "ingressclasses",
        singular: "ingressclass",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "ingressclasses", cached: true });
    const GENERATION: bool = true;

    fn set_defaults(object: &mut Value) {
        if let Some(parameters) = object.pointer_mut("/spec/parameters").filter(|p| p.is_object()) {
            value::default(parameters, "scope", "Cluster");
        }
    }

    fn validate(object: &v1::IngressClass, errors: &mut Vec<FieldError>) {
        let spec = object.spec.clone().unwrap_or_default();
        let path = Path::new("spec");
        controller(spec.controller.as_deref().unwrap_or_default(), &path.child("controller"), errors);
        if let Some(parameters) = &spec.parameters {
            reference(parameters, &path.child("parameters"), errors);
        }
    }

    fn validate_update(new: &v1::IngressClass, old: &v1::IngressClass, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let controller = |class: &v1::IngressClass| class.spec.clone().unwrap_or_default().controller;
        kept(&controller(new), &controller(old), &Path::new("spec").child("controller"), errors);
    }

    fn cells(object: &v1::IngressClass, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let parameters = spec.parameters.map_or_else(
            || NONE.to_owned(),
            |p| {
                let group = p.api_group.map(|group| format!(".{group}")).unwrap_or_default();
                format!("{}{group}/{}", p.kind, p.name)
            },
        );
        vec![
            cells::name(&object.metadata),
            spec.controller.unwrap_or_default().into(),
            parameters.into(),
            duration::age(&object.metadata, now),
        ]
    }
}

/// A domain and a path.
fn controller(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if name.len() > CONTROLLER_MAX {
        errors.push(FieldError::too_long(path, CONTROLLER_MAX));
    }
    match name.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            report(names::dns_subdomain(host), path, host, errors);
            if !rest.chars().all(|c| c.is_ascii_alphanumeric() || PATH_SIGNS.contains(c)) {
                let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.push(FieldError::invalid(path, rest, why));
            }
        }
        _ => errors.push(FieldError::invalid(path, name, "must be a domain-prefixed path (such as \"acme.io/foo\")")),
    }
}

fn reference(parameters: &IngressClassParametersReference, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(group) = &parameters.api_group {
        report(names::dns_subdomain(group), &path.child("apiGroup"), group, errors);
    }
    named(&parameters.kind, names::path_segment, &path.child("kind"), errors);
    named(&parameters.name, names::path_segment, &path.child("name"), errors);
    let Some(scope) = parameters.scope.as_deref() else {
        errors.push(FieldError::required(&path.child("scope"), ""));
        return;
    };
    one_of(scope, &["Cluster", "Namespace"], &path.child("scope"), errors);
    let at = path.child("namespace");
    match (scope, parameters.namespace.as_deref()) {
        ("Namespace", None) => errors.push(FieldError::required(&at, "`parameters.scope` is set to 'Namespace'")),
        ("Namespace", Some(namespace)) => report(names::dns_label(namespace), &at, namespace, errors),
        ("Cluster", Some(_)) => errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'")),
        _ => {}
    }
}
