//! What webhooks and policies of admission apply to: operations on resources, under conditions.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1::{MatchCondition, NamedRuleWithOperations, RuleWithOperations},
};
use serde_json::{Value, json};

use crate::{
    names::{self, one_of, report},
    value,
};

type Errors = Vec<FieldError>;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const CONDITIONS_MAX: usize = 64;

/// A rule of either kind.
pub struct Rule<'a> {
    groups: &'a [String],
    versions: &'a [String],
    operations: &'a [String],
    resources: &'a [String],
    scope: Option<&'a str>,
    /// Of policies.
    names: &'a [String],
}

impl<'a> From<&'a RuleWithOperations> for Rule<'a> {
    fn from(rule: &'a RuleWithOperations) -> Self {
        Self {
            groups: rule.api_groups.as_deref().unwrap_or_default(),
            versions: rule.api_versions.as_deref().unwrap_or_default(),
            operations: rule.operations.as_deref().unwrap_or_default(),
            resources: rule.resources.as_deref().unwrap_or_default(),
            scope: rule.scope.as_deref(),
            names: &[],
        }
    }
}

impl<'a> From<&'a NamedRuleWithOperations> for Rule<'a> {
    fn from(rule: &'a NamedRuleWithOperations) -> Self {
        Self {
            groups: rule.api_groups.as_deref().unwrap_or_default(),
            versions: rule.api_versions.as_deref().unwrap_or_default(),
            operations: rule.operations.as_deref().unwrap_or_default(),
            resources: rule.resources.as_deref().unwrap_or_default(),
            scope: rule.scope.as_deref(),
            names: rule.resource_names.as_deref().unwrap_or_default(),
        }
    }
}

/// The defaults of the rules in the list `member`.
pub fn defaults(owner: &mut Value, member: &str) {
    value::each(owner, member, |rule| value::default(rule, "scope", "*"));
}

pub fn validate(rule: &Rule, path: &Path, errors: &mut Errors) {
    let at = path.child("resourceNames");
    for (i, name) in rule.names.iter().enumerate() {
        report(names::path_segment(name), &at.index(i), name, errors);
        if rule.names[..i].contains(name) {
            errors.push(FieldError::duplicate(&at.index(i), name.as_str()));
        }
    }
    let at = path.child("operations");
    all_or_some(rule.operations, "operations", &at, errors);
    for (i, operation) in rule.operations.iter().enumerate() {
        one_of(operation, &OPERATIONS, &at.index(i), errors);
    }
    all_or_some(rule.groups, "API groups", &path.child("apiGroups"), errors);
    let at = path.child("apiVersions");
    all_or_some(rule.versions, "API versions", &at, errors);
    for (i, _) in rule.versions.iter().enumerate().filter(|(_, v)| v.is_empty()) {
        errors.push(FieldError::required(&at.index(i), ""));
    }
    resources(rule.resources, &path.child("resources"), errors);
    if let Some(scope) = rule.scope {
        one_of(scope, &SCOPES, &path.child("scope"), errors);
    }
}

/// `*` stands alone.
fn all_or_some(list: &[String], what: &str, path: &Path, errors: &mut Errors) {
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if list.len() > 1 && list.iter().any(|item| item == "*") {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, json!(list), why));
    }
}

/// `pods`, `pods/*`, `*/scale`: none may cover another.
fn resources(resources: &[String], path: &Path, errors: &mut Errors) {
    if resources.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_below, mut of_all) = (BTreeSet::new(), BTreeSet::new());
    for (i, text) in resources.iter().enumerate() {
        let at = path.index(i);
        if text.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let Some((resource, sub)) = text.split_once('/') else { continue };
        for (covered, by) in
            [(all_below.contains(resource), format!("{resource}/*")), (of_all.contains(sub), format!("*/{sub}"))]
        {
            if covered {
                let why = format!("if '{by}' is present, must not specify {text}");
                errors.push(FieldError::invalid(&at, text.as_str(), why));
            }
        }
        if sub == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    let has = |wanted: &str| resources.iter().any(|r| r == wanted);
    if resources.len() > 1 && has("*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, json!(resources), why));
    }
    if has("*") && resources.iter().any(|r| !r.is_empty() && r != "*" && !r.contains('/')) {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, json!(resources), why));
    }
}

/// Their expressions are not compiled: nothing evaluates them.
pub fn match_conditions(conditions: &[MatchCondition], path: &Path, errors: &mut Errors) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, conditions.len(), CONDITIONS_MAX));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        if condition.expression.trim().is_empty() {
            errors.push(FieldError::required(&at.child("expression"), ""));
        }
        let at = at.child("name");
        let name = condition.name.as_str();
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            report(names::qualified_name(name), &at, name, errors);
            if conditions[..i].iter().any(|other| other.name == name) {
                errors.push(FieldError::duplicate(&at, name));
            }
        }
    }
}
