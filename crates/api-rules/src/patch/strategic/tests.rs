use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::registry;

fn pod() -> &'static Type {
    registry().find("io.k8s.api.core.v1.Pod").unwrap()
}

fn deployment() -> &'static Type {
    registry().find("io.k8s.api.apps.v1.Deployment").unwrap()
}

fn check(type_: &Type, original: Value, patch: Value, wanted: Value) {
    assert_eq!(apply(&original, patch.to_string().as_bytes(), type_).unwrap(), wanted);
}

fn check_error(patch: Value, text: &str) {
    let mut original = json!({"spec": {"containers": [{"name": "a"}]}});
    let (original, patch) = (original.as_object_mut().unwrap(), patch.as_object().unwrap().clone());
    assert_eq!(merge_object(original, patch, Some(pod())).unwrap_err().to_string(), text);
}

#[test]
fn keyed_lists_merge() {
    check(
        pod(),
        json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}),
        json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
        json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
    );
}

#[test]
fn atomic_lists_are_replaced() {
    check(
        pod(),
        json!({"spec": {"containers": [{"name": "a", "command": ["x", "y"]}], "tolerations": [{"key": "a"}]}}),
        json!({"spec": {"containers": [{"name": "a", "command": ["z"]}], "tolerations": [{"key": "b"}]}}),
        json!({"spec": {"containers": [{"name": "a", "command": ["z"]}], "tolerations": [{"key": "b"}]}}),
    );
}

#[test]
fn null_removes() {
    check(
        pod(),
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        json!({"metadata": {"labels": {"a": null, "x": null}}}),
        json!({"metadata": {"labels": {"b": "2"}}}),
    );
    check(
        pod(),
        json!({}),
        json!({"metadata": {"labels": {"a": null, "b": "1"}}}),
        json!({"metadata": {"labels": {"b": "1"}}}),
    );
}

#[test]
fn directives() {
    let original = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
    check(
        pod(),
        original.clone(),
        json!({"spec": {"containers": [{"$patch": "delete", "name": "a"}]}}),
        json!({"spec": {"containers": [{"name": "b", "image": "1"}]}}),
    );
    check(
        pod(),
        original.clone(),
        json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}}),
        json!({"spec": {"containers": [{"name": "c"}]}}),
    );
    check(
        pod(),
        original.clone(),
        json!({"spec": {"containers": [{"name": "a", "$patch": "merge", "image": "2"}]}}),
        json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b", "image": "1"}]}}),
    );
    check(pod(), original, json!({"spec": {"$patch": "replace", "nodeName": "n"}}), json!({"spec": {"nodeName": "n"}}));
}

#[test]
fn retained_keys() {
    check(
        deployment(),
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
}

#[test]
fn sets_of_values() {
    check(
        pod(),
        json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]}}),
        json!({"metadata": {"finalizers": ["d", "a", "c"]}}),
    );
}

#[test]
fn element_order() {
    check(
        pod(),
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "x"}]}}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [{"name": "c", "image": "1"}]}}),
        json!({"spec": {"containers": [{"name": "b"}, {"name": "c", "image": "1"}, {"name": "a"}, {"name": "x"}]}}),
    );
}

#[test]
fn what_cannot_be_done() {
    check_error(json!({"spec": {"$patch": "destroy"}}), "Unknown directive: \"destroy\"");
    check_error(
        json!({"spec": {"containers": [{"image": "x"}]}}),
        "map: map[image:x] does not contain declared merge key: name",
    );
    check_error(
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}),
        "The order in patch list:\n[{\"name\":\"b\"}]\n doesn't match $setElementOrder list:\n[{\"name\":\"a\"}]\n",
    );
}

fn check_three_way(original: Value, modified: Value, current: Value, patch: Value) {
    assert_eq!(three_way(&original, &modified, &current, deployment()).unwrap(), patch);
}

fn template(containers: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

#[test]
fn three_ways() {
    let a = template(json!([{"name": "a", "image": "1"}]));
    check_three_way(
        a.clone(),
        a.clone(),
        template(json!([{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "injected"}])),
        json!({}),
    );
    check_three_way(
        a.clone(),
        template(json!([{"name": "a", "image": "2"}])),
        template(json!([{"name": "a", "image": "1", "imagePullPolicy": "Always"}])),
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"image": "2", "name": "a"}]}}}}),
    );
    check_three_way(
        a.clone(),
        template(json!([{"name": "b", "image": "1"}])),
        a,
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}],
            "containers": [{"name": "b", "image": "1"}, {"$patch": "delete", "name": "a"}]}}}}),
    );
    check_three_way(
        json!({"spec": {"strategy": {"type": "RollingUpdate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}}),
        json!({"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}),
    );
    check_three_way(
        json!({"metadata": {"labels": {"a": "1", "b": "1"}}}),
        json!({"metadata": {"labels": {"a": "2"}}}),
        json!({"metadata": {"labels": {"a": "1", "b": "1", "c": "1"}}}),
        json!({"metadata": {"labels": {"a": "2", "b": null}}}),
    );
}

/// Pods with labels, finalizers and containers, drawn from few names so that versions overlap.
fn pods() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let env = prop::collection::btree_map(name.clone(), "[xy]{1}", 0..3);
    let container = (prop::option::of("[0-2]"), prop::option::of(prop::collection::vec("[pq]", 1..3)), env);
    (
        prop::collection::btree_map(name.clone(), "[0-2]", 0..4),
        prop::collection::btree_set(name.clone(), 0..4),
        prop::collection::btree_map(name.clone(), container, 1..4),
    )
        .prop_flat_map(|(labels, finalizers, containers)| {
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, (image, command, env))| {
                    let env: Vec<_> = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                    let mut container = json!({"name": name});
                    for (member, value) in [("image", json!(image)), ("command", json!(command)), ("env", json!(env))] {
                        if !value.is_null() && value != json!([]) {
                            container[member] = value;
                        }
                    }
                    container
                })
                .collect();
            (Just(labels), Just(finalizers), Just(containers).prop_shuffle())
        })
        .prop_map(|(labels, finalizers, containers)| json!({"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"containers": containers}}))
}

/// Everything that `wanted` says is so in `have`; keyed lists may hold more.
fn holds(wanted: &Value, have: &Value) -> bool {
    match (wanted, have) {
        (Value::Object(w), Value::Object(h)) => w.iter().all(|(k, v)| h.get(k).is_some_and(|h| holds(v, h))),
        (Value::Array(w), Value::Array(h)) if w.iter().any(Value::is_object) => {
            let positions: Option<Vec<_>> =
                w.iter().map(|w| h.iter().position(|h| h["name"] == w["name"] && holds(w, h))).collect();
            positions.is_some_and(|p| p.is_sorted())
        }
        (Value::Array(w), Value::Array(h)) => w.iter().all(|w| h.contains(w)),
        _ => wanted == have,
    }
}

proptest! {
    /// Applying the patch brings about what was asked for, and doing it again finds nothing to do.
    #[test]
    fn apply_converges(original in pods(), modified in pods(), current in pods()) {
        let patch = three_way(&original, &modified, &current, pod()).unwrap();
        let result = apply(&current, patch.to_string().as_bytes(), pod()).unwrap();
        prop_assert!(holds(&modified, &result), "{modified} in {result} by {patch}");
        for (label, _) in original["metadata"]["labels"].as_object().unwrap() {
            if modified["metadata"]["labels"].get(label).is_none() {
                prop_assert!(result["metadata"]["labels"].get(label).is_none());
            }
        }
        let again = three_way(&modified, &modified, &result, pod()).unwrap();
        prop_assert_eq!(again, json!({}));
    }

    /// An empty patch changes nothing.
    #[test]
    fn empty_is_identity(object in pods()) {
        prop_assert_eq!(apply(&object, b"{}", pod()).unwrap(), object);
    }
}
