//! Policies of admission and their bindings: what validating and mutating ones share.
//!
//! Expressions are not compiled: nothing evaluates them yet, and every write of a policy says so.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1::{MatchCondition, MatchResources, ParamKind, ParamRef, Variable},
    names::split_api_version,
};
use serde_json::{Value, json};

use super::{
    admission_rule::{self, Rule},
    validate_label_selector,
};
use crate::{
    names::{self, one_of, report},
    value,
};

type Errors = Vec<FieldError>;

pub const NOT_EVALUATED: &str = "admission policies are not evaluated";
/// Words that no variable may be called.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What the specs of both kinds of policies begin with.
pub struct Policy<'a> {
    pub failure_policy: Option<&'a str>,
    pub param_kind: Option<&'a ParamKind>,
    pub match_constraints: Option<&'a MatchResources>,
    pub match_conditions: Option<&'a Vec<MatchCondition>>,
    pub variables: Option<&'a Vec<Variable>>,
}

/// The defaults of a policy's spec.
pub fn defaults(spec: &mut Value) {
    value::default(spec, "failurePolicy", "Fail");
    match_defaults(spec, "matchConstraints");
}

/// The defaults of the `MatchResources` at `member`.
pub fn match_defaults(spec: &mut Value, member: &str) {
    let Some(resources) = spec.get_mut(member).filter(|m| m.is_object()) else { return };
    value::default(resources, "matchPolicy", "Equivalent");
    value::default(resources, "namespaceSelector", json!({}));
    value::default(resources, "objectSelector", json!({}));
    admission_rule::defaults(resources, "resourceRules");
    admission_rule::defaults(resources, "excludeResourceRules");
}

pub fn validate(policy: &Policy, path: &Path, errors: &mut Errors) {
    let at = path.child("failurePolicy");
    match policy.failure_policy {
        None => errors.push(FieldError::required(&at, "")),
        Some(text) => one_of(text, &["Fail", "Ignore"], &at, errors),
    }
    if let Some(kind) = policy.param_kind {
        param_kind(kind, &path.child("paramKind"), errors);
    }
    let at = path.child("matchConstraints");
    match policy.match_constraints {
        None => errors.push(FieldError::required(&at, "")),
        Some(resources) => {
            match_resources(resources, &at, errors);
            if resources.resource_rules.as_ref().is_none_or(Vec::is_empty) {
                errors.push(FieldError::required(&at.child("resourceRules"), ""));
            }
        }
    }
    let conditions = policy.match_conditions.map_or(&[][..], Vec::as_slice);
    admission_rule::match_conditions(conditions, &path.child("matchConditions"), errors);
    for (i, variable) in policy.variables.into_iter().flatten().enumerate() {
        let at = path.child("variables").index(i);
        match variable.name.trim() {
            "" => errors.push(FieldError::required(&at.child("name"), "name is not specified")),
            name if !names::c_identifier(name).is_empty() || RESERVED.contains(&name) => {
                let why = "name is not a valid CEL identifier";
                errors.push(FieldError::invalid(&at.child("name"), variable.name.as_str(), why));
            }
            _ => {}
        }
        if variable.expression.trim().is_empty() {
            errors.push(FieldError::required(&at.child("expression"), "expression is not specified"));
        }
    }
}

fn param_kind(kind: &ParamKind, path: &Path, errors: &mut Errors) {
    let at = path.child("apiVersion");
    match kind.api_version.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        text if text.matches('/').count() > 1 => {
            errors.push(FieldError::invalid(&at, text, format!("unexpected GroupVersion string: {text}")));
        }
        text => {
            let (group, version) = split_api_version(text);
            let mut form = |text: &str, wrong: Vec<String>| {
                if !wrong.is_empty() {
                    errors.push(FieldError::invalid(&at, text, wrong.join(",")));
                }
            };
            if !group.is_empty() {
                form(group, names::dns_subdomain(group));
            }
            match version {
                "" => form(text, vec!["version must be specified".to_owned()]),
                version => form(version, names::dns_1035_label(version)),
            }
        }
    }
    let at = path.child("kind");
    match kind.kind.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        text => {
            let wrong = names::dns_1035_label(&text.to_lowercase());
            if !wrong.is_empty() {
                let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                errors.push(FieldError::invalid(&at, text, why));
            }
        }
    }
}

pub fn match_resources(resources: &MatchResources, path: &Path, errors: &mut Errors) {
    let at = path.child("matchPolicy");
    match resources.match_policy.as_deref() {
        None => errors.push(FieldError::required(&at, "")),
        Some(text) => one_of(text, &["Equivalent", "Exact"], &at, errors),
    }
    for (member, selector) in
        [("namespaceSelector", &resources.namespace_selector), ("objectSelector", &resources.object_selector)]
    {
        match selector {
            None => errors.push(FieldError::required(&path.child(member), "")),
            Some(selector) => validate_label_selector(selector, &path.child(member), errors),
        }
    }
    for (member, rules) in
        [("resourceRules", &resources.resource_rules), ("excludeResourceRules", &resources.exclude_resource_rules)]
    {
        for (i, rule) in rules.iter().flatten().enumerate() {
            admission_rule::validate(&Rule::from(rule), &path.child(member).index(i), errors);
        }
    }
}

/// What the specs of both kinds of bindings begin with.
pub fn validate_binding(
    policy: &str,
    params: Option<&ParamRef>,
    resources: Option<&MatchResources>,
    path: &Path,
    errors: &mut Errors,
) {
    super::fields::named(policy, names::dns_subdomain, &path.child("policyName"), errors);
    if let Some(params) = params {
        param_ref(params, &path.child("paramRef"), errors);
    }
    if let Some(resources) = resources {
        // Upstream's spelling.
        match_resources(resources, &path.child("matchResouces"), errors);
    }
}

fn param_ref(params: &ParamRef, path: &Path, errors: &mut Errors) {
    const ONE: &str = "name and selector are mutually exclusive";
    let name = params.name.as_deref().filter(|n| !n.is_empty());
    if let Some(name) = name {
        report(names::path_segment(name), &path.child("name"), name, errors);
    }
    if let Some(selector) = &params.selector {
        validate_label_selector(selector, &path.child("selector"), errors);
    }
    match (name, &params.selector) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::forbidden(&path.child("name"), ONE));
            errors.push(FieldError::forbidden(&path.child("selector"), ONE));
        }
        (None, None) => errors.push(FieldError::required(path, "one of name or selector must be specified")),
        _ => {}
    }
    let at = path.child("parameterNotFoundAction");
    match params.parameter_not_found_action.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        text => one_of(text, &["Deny", "Allow"], &at, errors),
    }
}

/// The cell that names the parameters of a policy.
pub fn param_kind_cell(kind: Option<&ParamKind>) -> Value {
    kind.map_or_else(
        || "<unset>".to_owned(),
        |k| format!("{}/{}", k.api_version.as_deref().unwrap_or_default(), k.kind.as_deref().unwrap_or_default()),
    )
    .into()
}

/// The cell that names the parameters of a binding.
pub fn param_ref_cell(params: Option<&ParamRef>) -> Value {
    let Some(params) = params else { return "<unset>".into() };
    let name = params.name.as_deref().unwrap_or_default();
    match params.namespace.as_deref().unwrap_or_default() {
        "" => name.into(),
        namespace => format!("{namespace}/{name}").into(),
    }
}
