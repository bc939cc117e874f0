//! Kinds through the interface that the server uses.

use std::collections::BTreeMap;

use api_rules::{Context, FieldValidation, Kind, Requester, Scope, kinds};
use serde_json::{Value, json};

pub fn kind(name: &str) -> &'static dyn Kind {
    kinds::all().iter().copied().find(|k| k.names().kind == name).expect("a kind of the list")
}

fn with_context<T>(run: impl FnOnce(&Context) -> T) -> T {
    let (groups, extra) = (vec![], BTreeMap::new());
    let user = Requester { name: "u", uid: "", groups: &groups, extra: &extra };
    run(&Context { now: jiff::Timestamp::UNIX_EPOCH, user })
}

/// An object as a create would store it, called `x` unless it says otherwise.
pub fn created(name: &str, changes: Value) -> Value {
    let mut value = json!({"metadata": {"name": "x", "uid": "u"}});
    if kind(name).scope() == Scope::Namespaced {
        value["metadata"]["namespace"] = json!("default");
    }
    json_patch::merge(&mut value, &changes);
    let mut object = kind(name).decode_value(value, FieldValidation::Strict).expect("a well-formed object").object;
    kind(name).set_defaults(&mut object);
    with_context(|cx| kind(name).prepare_create(&mut object, cx));
    object
}

/// Errors on creating `value`.
#[track_caller]
pub fn check(name: &str, value: Value, wanted: &[&str]) {
    let errors: Vec<_> = kind(name).validate_create(&created(name, value)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

/// What becomes of `old` when `changes` are merged into it through a path, and the errors on that.
pub fn changed(name: &str, old: &Value, changes: Value, subresource: Option<&str>) -> (Value, Vec<String>) {
    let mut new = old.clone();
    json_patch::merge(&mut new, &changes);
    kind(name).set_defaults(&mut new);
    with_context(|cx| kind(name).prepare_update(&mut new, old, subresource, cx));
    let errors = kind(name).validate_update(&new, old, subresource).iter().map(ToString::to_string).collect();
    (new, errors)
}

/// Errors on changing `old`.
#[track_caller]
pub fn check_change(name: &str, old: &Value, changes: Value, wanted: &[&str]) {
    assert_eq!(changed(name, old, changes, None).1, wanted);
}

#[track_caller]
pub fn check_cells(name: &str, object: &Value, wanted: Value) {
    assert_eq!(Value::Array(kind(name).cells(object, jiff::Timestamp::UNIX_EPOCH)), wanted);
}

/// `value` with `changes` merged into it.
pub fn with(mut value: Value, changes: Value) -> Value {
    json_patch::merge(&mut value, &changes);
    value
}
