//! How fast the number of replicas may change: defaults, and the form that v1's annotation has for it.

use serde_json::{Value, json};

use crate::value;

/// Fills in what rules leave out. Down waits as long as the controller is told to; up does not wait.
pub fn set_defaults(behavior: &mut Value) {
    let per_cent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = value::child(behavior, "scaleUp");
    value::default(up, "stabilizationWindowSeconds", 0);
    value::default(up, "selectPolicy", "Max");
    value::default(up, "policies", json!([pods, per_cent]));
    let down = value::child(behavior, "scaleDown");
    value::default(down, "selectPolicy", "Max");
    value::default(down, "policies", json!([per_cent]));
}

/// Go writes the annotation from a type without names for JSON: its members begin with capitals, and unset ones are null.
pub fn to_annotation(behavior: &Value) -> Value {
    let rules = |name: &str| match behavior.get(name) {
        None | Some(Value::Null) => Value::Null,
        Some(rules) => json!({
            "StabilizationWindowSeconds": rules.get("stabilizationWindowSeconds"),
            "SelectPolicy": rules.get("selectPolicy"),
            "Policies": value::items(rules, &["policies"]).iter().map(policy).collect::<Vec<_>>(),
            "Tolerance": rules.get("tolerance"),
        }),
    };
    json!({"ScaleUp": rules("scaleUp"), "ScaleDown": rules("scaleDown")})
}

fn policy(policy: &Value) -> Value {
    json!({
        "Type": policy.get("type"), "Value": policy.get("value"), "PeriodSeconds": policy.get("periodSeconds"),
    })
}

/// Back from the annotation, whose members may begin with small letters as well.
pub fn from_annotation(annotation: Value) -> Value {
    match annotation {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (uncapitalised(&name), from_annotation(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(from_annotation).collect(),
        other => other,
    }
}

fn uncapitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
