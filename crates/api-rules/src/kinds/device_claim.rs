//! What devices are asked for: the part that claims, templates of claims and classes of devices share.
//!
//! Expressions that select devices are not compiled: nothing evaluates them yet, and every write says so.

use std::collections::BTreeMap;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::resource::v1::{
        DeviceClaim, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceToleration, OpaqueDeviceConfiguration,
    },
};
use serde_json::{Value, json};

use super::fields::{self, named};
use crate::{
    names::{self, report},
    value,
};

type Errors = Vec<FieldError>;

pub const NOT_ALLOCATED: &str = "devices are not allocated to pods";
pub const CONFIGS_MAX: usize = 32;
const REQUESTS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const SELECTORS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;
const PARAMETERS_BYTES_MAX: usize = 10 * 1024;
const IDENTIFIER_MAX: usize = 32;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// The defaults of the `devices` of a claim.
pub fn defaults(spec: &mut Value) {
    let Some(devices) = spec.get_mut("devices") else { return };
    value::each(devices, "requests", |request| {
        if let Some(exactly) = request.get_mut("exactly").filter(|e| e.is_object()) {
            request_defaults(exactly);
        }
        value::each(request, "firstAvailable", request_defaults);
    });
}

fn request_defaults(request: &mut Value) {
    value::default(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" {
        value::default(request, "count", 1);
    }
    value::each(request, "tolerations", |toleration| value::default(toleration, "operator", "Equal"));
}

pub fn validate(claim: &DeviceClaim, path: &Path, errors: &mut Errors) {
    let requests = claim.requests.as_deref().unwrap_or_default();
    let names = RequestNames::of(requests);
    let at = path.child("requests");
    if at_most(requests.len(), REQUESTS_MAX, &at, errors) {
        for (i, one) in requests.iter().enumerate() {
            request(one, &at.index(i), errors);
            if requests[..i].iter().any(|other| other.name == one.name) {
                errors.push(FieldError::duplicate(&at.index(i), one.name.as_str()));
            }
        }
    }
    let at = path.child("constraints");
    let constraints = claim.constraints.as_deref().unwrap_or_default();
    if at_most(constraints.len(), CONSTRAINTS_MAX, &at, errors) {
        for (i, one) in constraints.iter().enumerate() {
            constraint(one, &names, &at.index(i), errors);
        }
    }
    let at = path.child("config");
    let configs = claim.config.as_deref().unwrap_or_default();
    if at_most(configs.len(), CONFIGS_MAX, &at, errors) {
        for (i, config) in configs.iter().enumerate() {
            references(config.requests.as_deref().unwrap_or_default(), &names, &at.index(i).child("requests"), errors);
            opaque(config.opaque.as_ref(), &at.index(i), errors);
        }
    }
}

/// Whether a list is short enough to look into.
pub fn at_most(count: usize, max: usize, path: &Path, errors: &mut Errors) -> bool {
    if count > max {
        errors.push(FieldError::too_many(path, count, max));
    }
    count <= max
}

/// The requests of a claim, and the alternatives within each.
pub struct RequestNames<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> RequestNames<'a> {
    pub fn of(requests: &'a [DeviceRequest]) -> Self {
        let alternatives = |r: &'a DeviceRequest| r.first_available.iter().flatten().map(|s| s.name.as_str()).collect();
        Self(requests.iter().map(|r| (r.name.as_str(), alternatives(r))).collect())
    }

    /// `request` or `request/alternative`.
    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => self.0.get(request).is_some_and(|all| all.contains(&alternative)),
        }
    }
}

fn request(request: &DeviceRequest, path: &Path, errors: &mut Errors) {
    named(&request.name, names::dns_label, &path.child("name"), errors);
    let alternatives = request.first_available.as_deref().unwrap_or_default();
    match (&request.exactly, alternatives) {
        (None, []) => {
            errors.push(FieldError::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (Some(_), [_, ..]) => errors.push(FieldError::invalid(
            path,
            Value::Null,
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
        )),
        (Some(exactly), []) => Wanted {
            class: &exactly.device_class_name,
            selectors: exactly.selectors.as_deref().unwrap_or_default(),
            mode: exactly.allocation_mode.as_deref().unwrap_or_default(),
            count: exactly.count.unwrap_or(0),
            tolerations: exactly.tolerations.as_deref().unwrap_or_default(),
        }
        .validate(&path.child("exactly"), errors),
        (None, alternatives) => {
            let at = path.child("firstAvailable");
            if !at_most(alternatives.len(), ALTERNATIVES_MAX, &at, errors) {
                return;
            }
            for (i, one) in alternatives.iter().enumerate() {
                let at = at.index(i);
                named(&one.name, names::dns_label, &at.child("name"), errors);
                Wanted {
                    class: &one.device_class_name,
                    selectors: one.selectors.as_deref().unwrap_or_default(),
                    mode: one.allocation_mode.as_deref().unwrap_or_default(),
                    count: one.count.unwrap_or(0),
                    tolerations: one.tolerations.as_deref().unwrap_or_default(),
                }
                .validate(&at, errors);
                if alternatives[..i].iter().any(|other| other.name == one.name) {
                    errors.push(FieldError::duplicate(&at, one.name.as_str()));
                }
            }
        }
    }
}

/// What a request and an alternative within one both say.
struct Wanted<'a> {
    class: &'a str,
    selectors: &'a [DeviceSelector],
    mode: &'a str,
    count: i64,
    tolerations: &'a [DeviceToleration],
}

impl Wanted<'_> {
    fn validate(&self, path: &Path, errors: &mut Errors) {
        named(self.class, names::dns_subdomain, &path.child("deviceClassName"), errors);
        selectors(self.selectors, &path.child("selectors"), errors);
        let at = path.child("count");
        match self.mode {
            "All" if self.count != 0 => {
                errors.push(FieldError::invalid(&at, self.count, "must not be specified when allocationMode is 'All'"))
            }
            "ExactCount" if self.count <= 0 => {
                errors.push(FieldError::invalid(&at, self.count, "must be greater than zero"));
            }
            "All" | "ExactCount" => {}
            other => {
                let at = path.child("allocationMode");
                errors.push(FieldError::not_supported(&at, other, &["All", "ExactCount"]));
            }
        }
        for (i, one) in self.tolerations.iter().enumerate() {
            toleration(one, &path.child("tolerations").index(i), errors);
        }
    }
}

pub fn selectors(selectors: &[DeviceSelector], path: &Path, errors: &mut Errors) {
    if !at_most(selectors.len(), SELECTORS_MAX, path, errors) {
        return;
    }
    for (i, selector) in selectors.iter().enumerate() {
        let at = path.index(i).child("cel");
        match &selector.cel {
            None => errors.push(FieldError::required(&at, "")),
            Some(cel) if cel.expression.len() > EXPRESSION_BYTES_MAX => {
                errors.push(FieldError::too_long(&at.child("expression"), EXPRESSION_BYTES_MAX));
            }
            Some(_) => {}
        }
    }
}

pub fn toleration(toleration: &DeviceToleration, path: &Path, errors: &mut Errors) {
    let key = toleration.key.as_deref().unwrap_or_default();
    let text = toleration.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !key.is_empty() {
        report(names::qualified_name(key), &path.child("key"), key, errors);
    }
    let at = path.child("operator");
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" if !text.is_empty() => {
            errors.push(FieldError::invalid(&path.child("value"), text, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => report(names::label_value(text), &path.child("value"), text, errors),
        "" => errors.push(FieldError::required(&at, "")),
        other => errors.push(FieldError::not_supported(&at, other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        names::one_of(effect, &EFFECTS, &path.child("effect"), errors);
    }
}

fn constraint(constraint: &DeviceConstraint, names: &RequestNames, path: &Path, errors: &mut Errors) {
    references(constraint.requests.as_deref().unwrap_or_default(), names, &path.child("requests"), errors);
    const ONE: &str =
        "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(_), Some(_)) => errors.push(FieldError::invalid(path, Value::Null, ONE)),
        (Some(name), None) => full_attribute(name, &path.child("matchAttribute"), errors),
        (None, Some(name)) => full_attribute(name, &path.child("distinctAttribute"), errors),
        (None, None) => errors.push(FieldError::required(path, ONE)),
    }
}

/// Names of requests of the same claim.
pub fn references(requests: &[String], names: &RequestNames, path: &Path, errors: &mut Errors) {
    if !at_most(requests.len(), REQUESTS_MAX, path, errors) {
        return;
    }
    for (i, name) in requests.iter().enumerate() {
        reference(name, names, &path.index(i), errors);
        if requests[..i].contains(name) {
            errors.push(FieldError::duplicate(&path.index(i), name.as_str()));
        }
    }
}

pub fn reference(name: &str, names: &RequestNames, path: &Path, errors: &mut Errors) {
    for part in name.split('/').take(2) {
        report(names::dns_label(part), path, part, errors);
    }
    if !names.has(name) {
        errors.push(FieldError::invalid(
            path,
            name,
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ));
    }
}

/// The configuration that a driver understands and nobody else.
pub fn opaque(opaque: Option<&OpaqueDeviceConfiguration>, path: &Path, errors: &mut Errors) {
    let at = path.child("opaque");
    let Some(opaque) = opaque else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    fields::driver(&opaque.driver, &at.child("driver"), errors);
    let at = at.child("parameters");
    let parameters = json!(opaque.parameters);
    match &parameters {
        Value::Null => errors.push(FieldError::required(&at, "")),
        Value::Object(_) if parameters.to_string().len() > PARAMETERS_BYTES_MAX => {
            errors.push(FieldError::too_long(&at, PARAMETERS_BYTES_MAX));
        }
        Value::Object(_) => {}
        other => errors.push(FieldError::invalid(&at, other.clone(), "must be a valid JSON object")),
    }
}

/// An attribute with the domain of whoever defined it.
fn full_attribute(name: &str, path: &Path, errors: &mut Errors) {
    attribute(name, path, errors);
    if !name.contains('/') {
        errors.push(FieldError::invalid(
            path,
            name,
            "a fully qualified name must be a domain and a name separated by a slash",
        ));
    }
}

/// The name of an attribute or capacity, with a domain before it or without.
pub fn attribute(name: &str, path: &Path, errors: &mut Errors) {
    let mut identifier = |text: &str| {
        if text.len() > IDENTIFIER_MAX {
            errors.push(FieldError::too_long(path, IDENTIFIER_MAX));
        }
        report(names::c_identifier(text), path, text, errors);
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [own] => identifier(own),
        [domain, own] => {
            match own {
                "" => errors.push(FieldError::invalid(path, "", "the name must not be empty")),
                own => identifier(own),
            }
            match domain {
                "" => errors.push(FieldError::invalid(path, "", "the domain must not be empty")),
                domain => fields::driver(domain, path, errors),
            }
        }
        _ => errors.push(FieldError::invalid(path, name, "must not contain more than one slash")),
    }
}
