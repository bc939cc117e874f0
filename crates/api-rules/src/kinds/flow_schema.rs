//! FlowSchema: which requests belong to which level of priority.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::flowcontrol::v1::{
        self, FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{fields::required, flow_control};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, report},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{Resource, status_of},
    value,
};

type Errors = Vec<FieldError>;

const PRECEDENCE_MAX: i32 = 10_000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub struct FlowSchema;

impl Resource for FlowSchema {
    type Object = v1::FlowSchema;

    const NAMES: Names = Names {
        group: "flowcontrol.apiserver.k8s.io",
        version: "v1",
        kind: "FlowSchema",
        list_kind: "FlowSchemaList",
        plural: "flowschemas",
        singular: "flowschema",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "flowschemas", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(flow_control::NOT_APPLIED);

    fn set_defaults(object: &mut Value) {
        value::default(value::child(object, "spec"), "matchingPrecedence", 1000);
    }

    fn validate(object: &v1::FlowSchema, errors: &mut Errors) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let spec = object.spec.clone().unwrap_or_default();
        let path = Path::new("spec");
        validate_spec(name, &spec, &path, errors);
        if flow_control::fixed_spec("flowschemas", name).is_some_and(|fixed| *fixed != json!(spec)) {
            errors.push(FieldError::invalid(
                &path,
                json!(spec),
                format!("spec of '{name}' must equal the fixed value"),
            ));
        }
    }

    fn validate_update(new: &v1::FlowSchema, _: &v1::FlowSchema, _: Option<&str>, errors: &mut Errors) {
        let conditions = new.status.iter().flat_map(|s| s.conditions.iter().flatten());
        flow_control::conditions(conditions.map(|c| c.type_.as_deref()), errors);
    }

    fn cells(object: &v1::FlowSchema, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let mut conditions = object.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let dangling = conditions.find(|c| c.type_.as_deref() == Some("Dangling")).and_then(|c| c.status.clone());
        vec![
            cells::name(&object.metadata),
            spec.priority_level_configuration.name.into(),
            spec.matching_precedence.unwrap_or(0).into(),
            spec.distinguisher_method.map_or_else(|| NONE.to_owned(), |m| m.type_).into(),
            duration::age(&object.metadata, now),
            dangling.unwrap_or_else(|| "?".to_owned()).into(),
        ]
    }
}

fn validate_spec(name: &str, spec: &FlowSchemaSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("matchingPrecedence");
    let precedence = spec.matching_precedence.unwrap_or(0);
    match precedence {
        ..=0 => errors.push(FieldError::invalid(&at, precedence, "must be a positive value")),
        1 if name != "exempt" => {
            let why = "only the schema named 'exempt' may have matchingPrecedence 1";
            errors.push(FieldError::invalid(&at, precedence, why));
        }
        1..=PRECEDENCE_MAX => {}
        _ => errors.push(FieldError::invalid(&at, precedence, format!("must not be greater than {PRECEDENCE_MAX}"))),
    }
    if let Some(method) = spec.distinguisher_method.as_ref().filter(|m| !METHODS.contains(&m.type_.as_str())) {
        let at = path.child("distinguisherMethod").child("type");
        errors.push(FieldError::not_supported(&at, json!(method), &METHODS));
    }
    let at = path.child("priorityLevelConfiguration").child("name");
    match spec.priority_level_configuration.name.as_str() {
        "" => errors.push(FieldError::required(&at, "must reference a priority level")),
        level => report(names::dns_subdomain(level), &at, level, errors),
    }
    for (i, rule) in spec.rules.iter().flatten().enumerate() {
        validate_rules(rule, &path.child("rules").index(i), errors);
    }
}

fn validate_rules(rules: &PolicyRulesWithSubjects, path: &Path, errors: &mut Errors) {
    let at = path.child("subjects");
    if rules.subjects.is_empty() {
        errors.push(FieldError::required(&at, "subjects must contain at least one value"));
    }
    for (i, subject) in rules.subjects.iter().enumerate() {
        validate_subject(subject, &at.index(i), errors);
    }
    let resources = rules.resource_rules.as_deref().unwrap_or_default();
    let others = rules.non_resource_rules.as_deref().unwrap_or_default();
    if resources.is_empty() && others.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (i, rule) in resources.iter().enumerate() {
        resource_rule(rule, &path.child("resourceRules").index(i), errors);
    }
    for (i, rule) in others.iter().enumerate() {
        other_rule(rule, &path.child("nonResourceRules").index(i), errors);
    }
}

fn validate_subject(subject: &Subject, path: &Path, errors: &mut Errors) {
    const KINDS: [&str; 3] = ["Group", "ServiceAccount", "User"];
    let members = [
        ("ServiceAccount", "serviceAccount", subject.service_account.is_some()),
        ("User", "user", subject.user.is_some()),
        ("Group", "group", subject.group.is_some()),
    ];
    let kind = subject.kind.as_str();
    if !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &KINDS));
        return;
    }
    for (of, member, given) in members {
        let at = path.child(member);
        match (of == kind, given) {
            (true, false) => {
                errors.push(FieldError::required(&at, format!("{member} is required when subject kind is '{of}'")));
            }
            (false, true) => {
                errors
                    .push(FieldError::forbidden(&at, format!("{member} is forbidden when subject kind is not '{of}'")));
            }
            _ => {}
        }
    }
    match kind {
        "User" => subject.user.iter().for_each(|u| required(&u.name, &path.child("user").child("name"), errors)),
        "Group" => subject.group.iter().for_each(|g| required(&g.name, &path.child("group").child("name"), errors)),
        _ => {
            let Some(account) = &subject.service_account else { return };
            let at = path.child("serviceAccount");
            match account.name.as_str() {
                "" => errors.push(FieldError::required(&at.child("name"), "")),
                "*" => {}
                name => report(names::dns_subdomain(name), &at.child("name"), name, errors),
            }
            let at = at.child("namespace");
            match account.namespace.as_str() {
                "" => errors.push(FieldError::required(&at, "must specify namespace for service account")),
                namespace => report(names::dns_label(namespace), &at, namespace, errors),
            }
        }
    }
}

fn resource_rule(rule: &ResourcePolicyRule, path: &Path, errors: &mut Errors) {
    verbs(&rule.verbs, &path.child("verbs"), errors);
    let mut list = |member: &str, list: &[String], missing: &str, what: &str| {
        let at = path.child(member);
        if list.is_empty() {
            errors.push(FieldError::required(&at, format!("resource rules must supply at least one {missing}")));
        } else if has_all(list) && list.len() > 1 {
            errors.push(only_all(list, what, &at));
        }
    };
    list("apiGroups", &rule.api_groups, "api group", "api groups");
    list("resources", &rule.resources, "resource", "resources");
    let at = path.child("namespaces");
    let namespaces = rule.namespaces.as_deref().unwrap_or_default();
    if namespaces.is_empty() && rule.cluster_scope != Some(true) {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at, why));
    } else if has_all(namespaces) {
        if namespaces.len() > 1 {
            errors.push(only_all(namespaces, "namespaces", &at));
        }
    } else {
        for (i, namespace) in namespaces.iter().enumerate() {
            let wrong = names::dns_label(namespace).into_iter();
            let wrong = wrong.map(|why| format!("each member of this list must be '*' or a DNS-1123 label; {why}"));
            report(wrong.collect(), &at.index(i), namespace, errors);
        }
    }
}

fn other_rule(rule: &NonResourcePolicyRule, path: &Path, errors: &mut Errors) {
    verbs(&rule.verbs, &path.child("verbs"), errors);
    let at = path.child("nonResourceURLs");
    let urls = &rule.non_resource_urls;
    if urls.is_empty() {
        errors.push(FieldError::required(&at, "nonResourceURLs must contain at least one value"));
    } else if has_all(urls) {
        if urls.len() > 1 {
            errors.push(only_all(urls, "non-resource URLs", &at));
        }
    } else {
        for (i, url) in urls.iter().enumerate() {
            if let Some(why) = wrong_url(url) {
                errors.push(FieldError::invalid(&at.index(i), url.as_str(), why));
            }
        }
    }
}

fn wrong_url(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn verbs(verbs: &[String], path: &Path, errors: &mut Errors) {
    if verbs.is_empty() {
        errors.push(FieldError::required(path, "verbs must contain at least one value"));
    } else if has_all(verbs) {
        if verbs.len() > 1 {
            errors.push(only_all(verbs, "verbs", path));
        }
    } else if verbs.iter().any(|verb| !VERBS.contains(&verb.as_str())) {
        errors.push(FieldError::not_supported(path, json!(verbs), &VERBS));
    }
}

fn has_all(list: &[String]) -> bool {
    list.iter().any(|item| item == "*")
}

fn only_all(list: &[String], what: &str, path: &Path) -> FieldError {
    FieldError::invalid(path, json!(list), format!("if '*' is present, must not specify other {what}"))
}
