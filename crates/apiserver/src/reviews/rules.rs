//! SelfSubjectRulesReview: everything the asking user may do in a namespace.

use api_rules::authz::{Rule, SYSTEM_MASTERS, User};
use api_types::Status;
use serde_json::{Value, json};

use crate::authz::Authorizer;

pub fn review(authorizer: &Authorizer, user: &User, spec: &Value) -> Result<Value, Status> {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut rules, error) = authorizer.rules_for(user, namespace);
    if user.is_in(SYSTEM_MASTERS) {
        rules.push(everything(Rule { api_groups: all(), resources: all(), ..Rule::default() }));
        rules.push(everything(Rule { non_resource_urls: all(), ..Rule::default() }));
    }
    let (resource, path): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.non_resource_urls.is_empty());
    let mut status = json!({
        "resourceRules": resource.into_iter().map(|rule| json!(rule)).collect::<Vec<_>>(),
        "nonResourceRules": path.into_iter().map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls})).collect::<Vec<_>>(),
        // What a node may do depends on its pods and cannot be listed.
        "incomplete": user.node_name().is_some() || error.is_some(),
    });
    if let Some(error) = error {
        status["evaluationError"] = json!(error);
    }
    Ok(status)
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn everything(rule: Rule) -> Rule {
    Rule { verbs: all(), ..rule }
}
