//! What becomes of the values.

use serde_json::{Value, json};

use super::*;
use crate::apply::{
    merge::merge,
    remove::{Emptied, remove},
    structural,
};

#[track_caller]
fn check(typing: &Typing, mut live: Value, config: Value, expected: Value) {
    merge(typing.root(), &mut live, &config);
    assert_eq!(live, expected);
}

#[track_caller]
fn check_containers(live: Value, config: Value, expected: Value) {
    check(&typing(DEPLOYMENT), containers(live), containers(config), containers(expected));
}

#[test]
fn items_with_keys_join() {
    check_containers(
        json!([{"name": "a", "image": "1", "args": ["x", "y"]}, {"name": "b", "image": "1"}]),
        json!([{"name": "a", "image": "2", "args": ["z"]}]),
        json!([{"name": "a", "image": "2", "args": ["z"]}, {"name": "b", "image": "1"}]),
    );
    check_containers(
        json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]),
        json!([{"name": "a", "env": [{"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}]}]),
        json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}]}]),
    );
}

#[test]
fn two_keys_and_a_default_among_them() {
    check_containers(
        json!([{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]}]),
        json!([{"name": "a", "ports": [{"containerPort": 53, "name": "dns"}]}]),
        json!([{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "UDP"}]}]),
    );
}

#[test]
fn order_follows_the_configuration() {
    let named = |names: &[&str]| names.iter().map(|n| json!({"name": n})).collect::<Value>();
    let check = |live: &[&str], config: &[&str], expected: &[&str]| {
        check_containers(named(live), named(config), named(expected))
    };
    check(&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]);
    check(&["a", "b"], &["x", "a"], &["x", "a", "b"]);
    check(&["a", "b"], &["b", "x", "a"], &["b", "x", "a"]);
    check(&["a", "b", "c", "d"], &["x"], &["a", "b", "c", "d", "x"]);
    check(&[], &["a"], &["a"]);
}

#[test]
fn sets_atomic_lists_and_maps() {
    let with = |finalizers: Value, labels: Value, selector: Value| {
        json!({"metadata": {"finalizers": finalizers, "labels": labels}, "spec": {"selector": selector,
            "template": {"spec": {"tolerations": finalizers, "nodeSelector": labels}}}})
    };
    check(
        &typing(DEPLOYMENT),
        with(json!(["a", "b"]), json!({"x": "1", "y": "2"}), json!({"matchLabels": {"a": "b"}})),
        with(json!(["b", "c"]), json!({"y": "3"}), json!({"matchLabels": {"c": "d"}})),
        json!({"metadata": {"finalizers": ["a", "b", "c"], "labels": {"x": "1", "y": "3"}},
            "spec": {"selector": {"matchLabels": {"c": "d"}}, "template": {"spec": {"tolerations": ["b", "c"], "nodeSelector": {"y": "3"}}}}}),
    );
}

#[test]
fn null_clears_a_leaf_and_no_struct() {
    check(
        &typing(DEPLOYMENT),
        deployment(json!({"replicas": 3, "strategy": {"type": "Recreate"}})),
        deployment(json!({"replicas": null, "strategy": null})),
        deployment(json!({"replicas": null, "strategy": {"type": "Recreate"}})),
    );
}

fn custom() -> Typing {
    structural(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "p": {"type": "string", "default": "TCP"}, "v": {"type": "integer"}}}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "list": {"type": "array", "items": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "either": {"x-kubernetes-int-or-string": true}}}}}))
}

#[test]
fn custom_resources_merge_by_their_schema() {
    check(
        &custom(),
        json!({"spec": {"map": [{"k": "a", "p": "TCP", "v": 1}], "set": ["a"], "list": ["a"], "whole": {"a": "1"},
            "labels": {"a": "1"}, "free": {"a": {"x": 1}, "l": [1]}, "either": 1}}),
        json!({"spec": {"map": [{"k": "a", "v": 2}], "set": ["b"], "list": ["b"], "whole": {"b": "2"},
            "labels": {"b": "2"}, "free": {"a": {"y": 2}, "l": [2]}, "either": "50%"}}),
        json!({"spec": {"map": [{"k": "a", "p": "TCP", "v": 2}], "set": ["a", "b"], "list": ["b"], "whole": {"b": "2"},
            "labels": {"a": "1", "b": "2"}, "free": {"a": {"x": 1, "y": 2}, "l": [2]}, "either": "50%"}}),
    );
}

#[test]
fn removal_takes_what_it_empties() {
    let check = |fields: &str, value: Value, expected: Value| {
        let mut value = value;
        remove(typing(DEPLOYMENT).root(), &mut value, &set(fields), Emptied::Goes);
        assert_eq!(value, expected);
    };
    check(
        r#"{"f:metadata":{"f:labels":{"f:a":{}}}}"#,
        json!({"metadata": {"name": "d", "labels": {"a": "1"}}}),
        json!({"metadata": {"name": "d"}}),
    );
    check(
        r#"{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}},"k:{\"name\":\"b\"}":{"f:image":{}}}}}}}"#,
        containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
        containers(json!([{"name": "b"}])),
    );
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let check = |config: Value, message: &str| {
        let error = State::default().try_apply(DEPLOYMENT, "x", false, config).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(deployment(json!({"foo": 1})), ".spec.foo: field not declared in schema");
    check(deployment(json!({"replicas": "3"})), ".spec.replicas: expected numeric (int or float), got string");
    check(deployment(json!({"template": 1})), ".spec.template: expected map, got &{1}");
    check(
        containers(json!([{"name": "a"}, {"name": "a"}])),
        r#".spec.template.spec.containers: duplicate entries for key [name="a"]"#,
    );
    check(
        containers(json!([{"image": "a"}])),
        r#".spec.template.spec.containers: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)"#,
    );
    check(
        deployment(json!({"foo": 1, "bar": 2})),
        "errors:\n  .spec.foo: field not declared in schema\n  .spec.bar: field not declared in schema",
    );
}
