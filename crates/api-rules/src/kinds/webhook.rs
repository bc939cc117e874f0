//! Webhooks of admission: what the two kinds of configurations share.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::admissionregistration::v1::{
            MatchCondition, MutatingWebhook, RuleWithOperations, ServiceReference, ValidatingWebhook,
            WebhookClientConfig,
        },
        apimachinery::pkg::apis::meta::v1::LabelSelector,
    },
};
use serde_json::{Value, json};

use super::{
    admission_rule::{self, Rule},
    validate_label_selector,
};
use crate::{
    names::{self, one_of},
    value,
};

type Errors = Vec<FieldError>;

pub const NOT_CALLED: &str = "webhooks are not called";
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const FORM: &str = "; desired format: https://host[/path]";
const HTTPS: i32 = 443;

/// A webhook of either kind.
pub struct Webhook<'a> {
    name: &'a str,
    client: &'a WebhookClientConfig,
    rules: &'a [RuleWithOperations],
    failure_policy: Option<&'a str>,
    match_policy: Option<&'a str>,
    namespace_selector: Option<&'a LabelSelector>,
    object_selector: Option<&'a LabelSelector>,
    side_effects: &'a str,
    timeout_seconds: Option<i32>,
    review_versions: &'a [String],
    match_conditions: &'a [MatchCondition],
    /// Of mutating ones.
    reinvocation_policy: Option<&'a str>,
}

impl<'a> From<&'a ValidatingWebhook> for Webhook<'a> {
    fn from(hook: &'a ValidatingWebhook) -> Self {
        Self {
            name: &hook.name,
            client: &hook.client_config,
            rules: hook.rules.as_deref().unwrap_or_default(),
            failure_policy: hook.failure_policy.as_deref(),
            match_policy: hook.match_policy.as_deref(),
            namespace_selector: hook.namespace_selector.as_ref(),
            object_selector: hook.object_selector.as_ref(),
            side_effects: &hook.side_effects,
            timeout_seconds: hook.timeout_seconds,
            review_versions: &hook.admission_review_versions,
            match_conditions: hook.match_conditions.as_deref().unwrap_or_default(),
            reinvocation_policy: None,
        }
    }
}

impl<'a> From<&'a MutatingWebhook> for Webhook<'a> {
    fn from(hook: &'a MutatingWebhook) -> Self {
        Self {
            name: &hook.name,
            client: &hook.client_config,
            rules: hook.rules.as_deref().unwrap_or_default(),
            failure_policy: hook.failure_policy.as_deref(),
            match_policy: hook.match_policy.as_deref(),
            namespace_selector: hook.namespace_selector.as_ref(),
            object_selector: hook.object_selector.as_ref(),
            side_effects: &hook.side_effects,
            timeout_seconds: hook.timeout_seconds,
            review_versions: &hook.admission_review_versions,
            match_conditions: hook.match_conditions.as_deref().unwrap_or_default(),
            reinvocation_policy: hook.reinvocation_policy.as_deref(),
        }
    }
}

pub fn defaults(configuration: &mut Value) {
    value::each(configuration, "webhooks", |hook| {
        value::default(hook, "failurePolicy", "Fail");
        value::default(hook, "matchPolicy", "Equivalent");
        value::default(hook, "namespaceSelector", json!({}));
        value::default(hook, "objectSelector", json!({}));
        value::default(hook, "timeoutSeconds", 10);
        admission_rule::defaults(hook, "rules");
        if let Some(service) = hook.pointer_mut("/clientConfig/service").filter(|s| s.is_object()) {
            value::default(service, "port", HTTPS);
        }
    });
}

pub fn validate(hooks: &[Webhook], errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        let path = Path::new("webhooks").index(i);
        one(hook, &path, errors);
        review_versions(hook.review_versions, &path.child("admissionReviewVersions"), errors);
        if !hook.name.is_empty() && !seen.insert(hook.name) {
            errors.push(FieldError::duplicate(&path.child("name"), hook.name));
        }
    }
}

fn one(hook: &Webhook, path: &Path, errors: &mut Errors) {
    full_name(hook.name, &path.child("name"), errors);
    for (i, rule) in hook.rules.iter().enumerate() {
        admission_rule::validate(&Rule::from(rule), &path.child("rules").index(i), errors);
    }
    for (member, text, supported) in [
        ("failurePolicy", hook.failure_policy, &["Fail", "Ignore"][..]),
        ("matchPolicy", hook.match_policy, &["Equivalent", "Exact"]),
        ("reinvocationPolicy", hook.reinvocation_policy, &["IfNeeded", "Never"]),
    ] {
        if let Some(text) = text {
            one_of(text, supported, &path.child(member), errors);
        }
    }
    let at = path.child("sideEffects");
    match hook.side_effects {
        "" => errors.push(FieldError::required(&at, format!("must specify one of {}", SIDE_EFFECTS.join(", ")))),
        text => one_of(text, &SIDE_EFFECTS, &at, errors),
    }
    if let Some(seconds) = hook.timeout_seconds.filter(|s| !(1..=30).contains(s)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, why));
    }
    for (member, selector) in [("namespaceSelector", hook.namespace_selector), ("objectSelector", hook.object_selector)]
    {
        if let Some(selector) = selector {
            validate_label_selector(selector, &path.child(member), errors);
        }
    }
    client(hook.client, &path.child("clientConfig"), errors);
    admission_rule::match_conditions(hook.match_conditions, &path.child("matchConditions"), errors);
}

/// A domain of at least three parts.
fn full_name(name: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::dns_subdomain(name);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn review_versions(versions: &[String], path: &Path, errors: &mut Errors) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, format!("must specify one of {}", REVIEWS.join(", "))));
        return;
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.push(FieldError::invalid(&path.index(i), version.as_str(), "duplicate version"));
            continue;
        }
        names::report(names::dns_1035_label(version), &path.index(i), version, errors);
    }
    if !versions.iter().any(|v| REVIEWS.contains(&v.as_str())) {
        let why = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, json!(versions), why));
    }
}

/// Where the webhook is.
fn client(client: &WebhookClientConfig, path: &Path, errors: &mut Errors) {
    match (&client.url, &client.service) {
        (Some(url), None) => web_address(url, &path.child("url"), errors),
        (None, Some(service)) => validate_service(service, &path.child("service"), errors),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn web_address(url: &str, path: &Path, errors: &mut Errors) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        let why = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(FieldError::invalid(path, scheme, why));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be provided{FORM}")));
    }
    if let Some(user) = user {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(FieldError::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

/// A Service that something is called at.
fn validate_service(service: &ServiceReference, path: &Path, errors: &mut Errors) {
    for (member, text, why) in [
        ("name", &service.name, "service name is required"),
        ("namespace", &service.namespace, "service namespace is required"),
    ] {
        if text.is_empty() {
            errors.push(FieldError::required(&path.child(member), why));
        }
    }
    let port = service.port.unwrap_or(HTTPS);
    let wrong = names::port_number(port.into());
    if !wrong.is_empty() {
        let why = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, why));
    }
    let at = path.child("path");
    let text = service.path.as_deref().unwrap_or_default();
    let Some(rest) = text.strip_prefix('/') else {
        if !text.is_empty() {
            errors.push(FieldError::invalid(&at, text, "must start with a '/'"));
        }
        return;
    };
    if rest.is_empty() {
        return;
    }
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid(&at, text, format!("segment[{i}] may not be empty")));
            continue;
        }
        let wrong = names::dns_subdomain(step).into_iter();
        errors.extend(wrong.map(|why| FieldError::invalid(&at, text, format!("segment[{i}]: {why}"))));
    }
}
