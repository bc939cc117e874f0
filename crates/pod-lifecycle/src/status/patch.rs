//! The smallest strategic merge patch from one status to the next. Conditions merge by type, so
//! those of other writers stay as they are.

use crate::{
    core::{Pod, PodStatus},
    resize,
};
use serde_json::{Map, Value, json};

/// Whether a reader of the API would see a change.
pub fn differs(old: Option<&PodStatus>, new: &PodStatus) -> bool {
    let old = old.cloned().unwrap_or_default();
    !changes(&to_map(&old), &to_map(new)).is_empty()
}

/// The patch of `/status`, with the uid as precondition; `None` when nothing changes.
pub fn patch(pod: &Pod, old: Option<&PodStatus>, new: &PodStatus) -> Option<Value> {
    let changes = changes(&old.map(to_map).unwrap_or_default(), &to_map(new));
    if changes.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": pod.metadata.uid}, "status": changes}))
}

fn to_map(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("a PodStatus is an object: {other:?}"),
    }
}

fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in new {
        let before = old.get(key);
        match key.as_str() {
            "conditions" => {
                let changed = conditions(before, value);
                if !changed.is_empty() {
                    out.insert(key.clone(), Value::Array(changed));
                }
            }
            _ if before == Some(value) => {}
            "podIPs" | "hostIPs" => {
                out.insert(key.clone(), addresses(before, value));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|k| !new.contains_key(*k) && k.as_str() != "conditions") {
        out.insert(key.clone(), Value::Null);
    }
    out
}

/// Changed conditions whole, with the fields that went away set to null.
fn conditions(old: Option<&Value>, new: &Value) -> Vec<Value> {
    let empty = vec![];
    let (old, new) = (old.and_then(Value::as_array).unwrap_or(&empty), new.as_array().unwrap_or(&empty));
    let mut out = vec![];
    for condition in new {
        let before = old.iter().find(|c| c["type"] == condition["type"]);
        if before == Some(condition) {
            continue;
        }
        let mut changed = condition.clone();
        if let (Some(before), Some(changed)) = (before.and_then(Value::as_object), changed.as_object_mut()) {
            for key in before.keys() {
                changed.entry(key).or_insert(Value::Null);
            }
        }
        out.push(changed);
    }
    let is_there = |name: &str, list: &[Value]| list.iter().any(|c| c["type"] == name);
    for ended in [resize::PENDING, resize::IN_PROGRESS] {
        if is_there(ended, old) && !is_there(ended, new) {
            out.push(json!({"$patch": "delete", "type": ended}));
        }
    }
    out
}

/// These lists merge by address: one that replaces others must say so.
fn addresses(old: Option<&Value>, new: &Value) -> Value {
    let mut list = new.as_array().cloned().unwrap_or_default();
    if old.and_then(Value::as_array).is_some_and(|o| !o.is_empty()) {
        list.insert(0, json!({"$patch": "replace"}));
    }
    Value::Array(list)
}
