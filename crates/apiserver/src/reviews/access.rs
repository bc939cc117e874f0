//! SubjectAccessReview and its siblings: may this user do that?

use std::collections::BTreeMap;

use api_rules::authz::{Attributes, Decision, User};
use api_types::{Status, selector::FieldSelector};
use serde_json::{Value, json};

use crate::authz::Authorizer;

/// The user a review is about.
pub fn subject(spec: &Value) -> Result<User, Status> {
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let extra: BTreeMap<String, Vec<String>> = serde_json::from_value(spec["extra"].clone()).unwrap_or_default();
    let groups: Vec<String> = serde_json::from_value(spec["groups"].clone()).unwrap_or_default();
    let user = User { name: text("user"), uid: text("uid"), groups, extra };
    if user.name.is_empty() && user.groups.is_empty() {
        return Err(Status::bad_request(
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ));
    }
    Ok(user)
}

pub fn review(authorizer: &Authorizer, user: &User, spec: &Value) -> Result<Value, Status> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() == path.is_object() {
        return Err(Status::bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ));
    }
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    let selector = field_selector(&resource["fieldSelector"]);
    let asked = if resource.is_object() {
        Attributes {
            verb: text("verb"),
            namespace: text("namespace"),
            api_group: text("group"),
            api_version: text("version"),
            resource: text("resource"),
            subresource: text("subresource"),
            name: text("name"),
            path: "",
            field_selector: selector.as_ref(),
        }
    } else {
        Attributes {
            verb: path["verb"].as_str().unwrap_or_default(),
            path: path["path"].as_str().unwrap_or_default(),
            ..Attributes::default()
        }
    };
    let decision = authorizer.decide(user, &asked);
    let mut status = json!({"allowed": matches!(decision, Decision::Allow(_))});
    if !decision.reason().is_empty() {
        status["reason"] = json!(decision.reason());
    }
    Ok(status)
}

/// Of the structured requirements those that fix a value, which are what an authorizer looks at.
fn field_selector(selector: &Value) -> Option<FieldSelector> {
    if let Some(raw) = selector["rawSelector"].as_str() {
        return FieldSelector::parse(raw).ok();
    }
    let requirements: Vec<String> = selector["requirements"]
        .as_array()?
        .iter()
        .filter(|one| one["operator"] == "In" && one["values"].as_array().is_some_and(|values| values.len() == 1))
        .filter_map(|one| Some(format!("{}={}", one["key"].as_str()?, one["values"][0].as_str()?)))
        .collect();
    FieldSelector::parse(&requirements.join(",")).ok()
}
