//! Ordinary writes: who owns what they changed.

use super::*;

#[test]
fn a_creator_owns_what_it_set() {
    let mut state = State::default();
    state.update(
        DEPLOYMENT,
        "kubectl-create",
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "uid": "u", "generation": 1, "labels": {"app": "d"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"dnsPolicy": "ClusterFirst", "securityContext": {},
                    "containers": [{"name": "nginx", "image": "nginx", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}},
            "status": {"replicas": 0}}),
    );
    // As kubectl shows it on upstream.
    assert_eq!(
        state.owned("kubectl-create").unwrap(),
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"nginx\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{}}},"f:dnsPolicy":{},"f:securityContext":{}}}}}"#
    );
    let entry = &state.entries()[0];
    assert_eq!(
        (&entry["operation"], &entry["apiVersion"], &entry["time"], &entry["fieldsType"]),
        (&json!("Update"), &json!("apps/v1"), &json!("2026-01-01T00:00:01Z"), &json!("FieldsV1"))
    );
}

#[test]
fn members_held_by_value_come_with_their_parent() {
    let mut state = State::default();
    state.update(DEPLOYMENT, "a", containers(json!([{"name": "a", "image": "1"}])));
    // Go writes `resources: {}` for every container, and the pod's own structs are there from the start.
    assert_eq!(
        state.owned("a").unwrap(),
        r#"{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}}}"#
    );
}

#[test]
fn the_last_writer_owns_a_field() {
    let mut state = State::default();
    state.update(CONFIG_MAP, "a", map(json!({"x": "1", "y": "1"})));
    state.update(CONFIG_MAP, "b", map(json!({"x": "2", "y": "1", "z": "1"})));
    assert_eq!(state.owned("a").unwrap(), r#"{"f:data":{".":{},"f:y":{}}}"#);
    assert_eq!(state.owned("b").unwrap(), r#"{"f:data":{"f:x":{},"f:z":{}}}"#);
    state.update(CONFIG_MAP, "c", map(json!({"x": "2"})));
    assert_eq!(state.owned("a").unwrap(), r#"{"f:data":{}}"#);
    assert_eq!(state.owned("b").unwrap(), r#"{"f:data":{"f:x":{}}}"#);
    // Who only takes away owns nothing.
    assert_eq!(state.managers(), ["a Update", "b Update"]);
}

#[test]
fn time_moves_only_with_fields() {
    let mut state = State::default();
    state.update(CONFIG_MAP, "a", map(json!({"x": "1"})));
    let before = state.managed.clone();
    state.update(CONFIG_MAP, "a", map(json!({"x": "1"})));
    assert_eq!(state.managed, before);
    state.update(CONFIG_MAP, "a", map(json!({"x": "2"})));
    assert_eq!(state.entries()[0]["time"], "2026-01-01T00:00:03Z");
}

#[test]
fn nobody_owns_what_is_not_tracked_from_the_start() {
    let mut state = State { object: Some(map(json!({"x": "1"}))), ..State::default() };
    state.update(CONFIG_MAP, "a", map(json!({"x": "2"})));
    assert!(state.managed.is_empty());
}

#[test]
fn subresources_have_entries_of_their_own() {
    let mut state = State::default();
    state.update(DEPLOYMENT, "m", deployment(json!({"replicas": 1})));
    let mut new = state.object().clone();
    new["status"] = json!({"readyReplicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    new["spec"]["replicas"] = json!(7);
    let managed =
        state.with_subject(DEPLOYMENT, "status", |s| track(s, "m", state.object.as_ref(), &new, &state.managed));
    state.managed = managed.unwrap().unwrap();
    let entries = state.entries();
    assert_eq!((entries.len(), &entries[1]["subresource"]), (2, &json!("status")));
    assert_eq!(
        entries[1]["fieldsV1"].to_string(),
        r#"{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:status":{},"f:type":{}}},"f:readyReplicas":{}}}"#
    );
    assert!(String::from_utf8(state.managed).unwrap().ends_with(r#","subresource":"status"}]"#));
}

#[test]
fn old_updates_are_put_together() {
    let mut state = State::default();
    for n in 0..15 {
        let mut data = state.object.as_ref().map_or(json!({}), |object| object["data"].clone());
        data[format!("k{n:02}")] = json!("x");
        state.update(CONFIG_MAP, &format!("m{n:02}"), map(data));
    }
    let managers = state.managers();
    assert_eq!(managers.len(), 10);
    assert_eq!((managers[0].as_str(), managers[1].as_str()), ("ancient-changes Update", "m06 Update"));
    assert_eq!(
        state.owned("ancient-changes").unwrap(),
        r#"{"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{},"f:k04":{},"f:k05":{}}}"#
    );
}

#[test]
fn entries_of_versions_that_are_gone_go() {
    let mut state = State::default();
    state.update(CONFIG_MAP, "a", map(json!({"x": "1"})));
    let old = String::from_utf8(state.managed.clone()).unwrap().replace("\"v1\"", "\"v0\"");
    state.managed = old.into_bytes();
    state.update(CONFIG_MAP, "b", map(json!({"x": "1", "y": "2"})));
    assert_eq!(state.managers(), ["b Update"]);
}

#[test]
fn lists_whose_items_cannot_be_told_apart_are_not_tracked() {
    let state = State::default();
    let new = containers(json!([{"image": "1"}]));
    let error = state.with_subject(DEPLOYMENT, "", |subject| track(subject, "a", None, &new, b"")).unwrap_err();
    assert!(error.to_string().contains(".spec.template.spec.containers: element 0: associative list"), "{error}");
}

#[test]
fn reset() {
    use crate::apply::managers::is_reset;
    for (json, expected) in
        [("[]", true), ("[{}]", true), ("null", false), (r#"[{"manager":"a"}]"#, false), ("[{},{}]", false)]
    {
        assert_eq!(is_reset(json.as_bytes()), expected, "{json}");
    }
}

#[test]
fn what_a_request_brings_along() {
    use crate::apply::starting_from;
    let mut state = State::default();
    state.update(CONFIG_MAP, "a", map(json!({"x": "1"})));
    let stored = state.managed.as_slice();
    let mut reordered = state.entries();
    reordered[0].as_object_mut().unwrap().sort_keys();
    let check = |given: Option<&[u8]>, expected: &[u8]| assert_eq!(starting_from(given, stored).as_ref(), expected);
    check(None, stored);
    check(Some(stored), stored);
    check(Some(&serde_json::to_vec(&reordered).unwrap()), stored);
    check(Some(b"[]"), b"");
    check(Some(b"[{}]"), b"");
    check(Some(b"null"), stored);
    check(Some(br#"[{"manager":"x","operation":"Odd"}]"#), stored);
}

#[test]
fn what_became_one_value_is_owned_as_one() {
    let mut state = State::default();
    let labelled = |value: &str| {
        deployment(json!({"selector": {"matchLabels": {"a": "b"}}, "replicas": 1, "paused": value == "2"}))
    };
    state.update(DEPLOYMENT, "a", labelled("1"));
    let within = r#""f:selector":{"f:matchLabels":{"f:a":{}}}"#;
    let granular = String::from_utf8(state.managed.clone()).unwrap().replace(r#""f:selector":{}"#, within);
    assert!(granular.contains(within));
    state.managed = granular.into_bytes();
    state.update(DEPLOYMENT, "b", labelled("2"));
    assert_eq!(state.owned("a").unwrap(), r#"{"f:spec":{"f:replicas":{},"f:selector":{}}}"#);
}
