//! Appliers: conflicts, sharing, force, and the removal of what is not named any more.

use super::*;

#[test]
fn an_applier_owns_what_it_names() {
    let mut state = State::default();
    let mut config = containers(json!([{"name": "a", "image": "1", "args": ["x"], "ports": [{"containerPort": 80}]}]));
    config["metadata"]["labels"] = json!({"app": "d"});
    state.apply(DEPLOYMENT, "me", config);
    assert_eq!(
        state.owned("me").unwrap(),
        r#"{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}}"#
    );
    assert_eq!(state.managers(), ["me Apply"]);
}

#[test]
fn another_value_of_an_owned_field_is_a_conflict() {
    let mut state = State::default();
    state.update(DEPLOYMENT, "kubectl-client-side-apply", deployment(json!({"replicas": 1})));
    let wish = || deployment(json!({"replicas": 3}));
    assert_eq!(
        state.conflict(DEPLOYMENT, "me", wish()),
        r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#
    );
    state.force(DEPLOYMENT, "me", wish());
    assert_eq!(state.object()["spec"]["replicas"], 3);
    assert_eq!(state.managers(), ["me Apply"]);
    assert_eq!(
        state.conflict(DEPLOYMENT, "you", deployment(json!({"replicas": 4}))),
        r#"Apply failed with 1 conflict: conflict with "me": .spec.replicas"#
    );
}

#[test]
fn several_conflicts_are_listed_by_owner() {
    let mut state = State::default();
    state.apply(CONFIG_MAP, "b", map(json!({"x": "1", "y": "1"})));
    state.apply(CONFIG_MAP, "a", map(json!({"z": "1"})));
    assert_eq!(
        state.conflict(CONFIG_MAP, "me", map(json!({"x": "2", "y": "2", "z": "2"}))),
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .data.z\nconflicts with \"b\":\n- .data.x\n- .data.y"
    );
    let conflicts = match state.try_apply(CONFIG_MAP, "me", false, map(json!({"x": "2"}))) {
        Err(ApplyError::Conflicts(conflicts)) => conflict_status(conflicts),
        other => panic!("{other:?}"),
    };
    let cause = &conflicts.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", "conflict with \"b\"", ".data.x")
    );
    assert_eq!(conflicts.code, 409);
}

#[test]
fn the_same_value_is_shared() {
    let mut state = State::default();
    state.apply(CONFIG_MAP, "a", map(json!({"x": "1"})));
    state.apply(CONFIG_MAP, "b", map(json!({"x": "1", "y": "1"})));
    for owner in ["a", "b"] {
        assert!(state.owned(owner).unwrap().contains("f:x"), "{owner}");
    }
    // Given up by one, it stays for the other.
    state.apply(CONFIG_MAP, "a", map(json!({})));
    assert_eq!(state.object()["data"], json!({"x": "1", "y": "1"}));
    state.apply(CONFIG_MAP, "b", map(json!({"y": "1"})));
    assert_eq!(state.object()["data"], json!({"y": "1"}));
}

#[test]
fn what_is_not_named_any_more_goes() {
    let mut state = State::default();
    state.apply(
        DEPLOYMENT,
        "me",
        containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1", "args": ["x"]}])),
    );
    state.apply(DEPLOYMENT, "me", containers(json!([{"name": "b", "image": "1"}])));
    assert_eq!(state.object(), &containers(json!([{"name": "b", "image": "1"}])));
    // An item goes with what others put into it.
    let mut with_more = state.object().clone();
    with_more["spec"]["template"]["spec"]["containers"][0]["tty"] = json!(true);
    state.update(DEPLOYMENT, "other", with_more);
    state.apply(DEPLOYMENT, "me", containers(json!([{"name": "c", "image": "1"}])));
    assert_eq!(state.object(), &containers(json!([{"name": "c", "image": "1"}])));
    assert_eq!(state.managers(), ["me Apply"]);
}

#[test]
fn what_updates_changed_is_not_the_appliers_to_remove() {
    let mut state = State::default();
    state.apply(CONFIG_MAP, "me", map(json!({"x": "1", "y": "1"})));
    state.update(CONFIG_MAP, "other", map(json!({"x": "2", "y": "1", "z": "1"})));
    assert_eq!(state.owned("me").unwrap(), r#"{"f:data":{"f:y":{}}}"#);
    state.apply(CONFIG_MAP, "me", map(json!({})));
    assert_eq!(state.object()["data"], json!({"x": "2", "z": "1"}));
}

#[test]
fn nested_owners_keep_their_parts() {
    let mut state = State::default();
    state.apply(DEPLOYMENT, "a", containers(json!([{"name": "a", "image": "1"}])));
    state.apply(DEPLOYMENT, "b", containers(json!([{"name": "a", "tty": true}])));
    state.apply(DEPLOYMENT, "a", containers(json!([])));
    assert_eq!(state.object(), &containers(json!([{"name": "a", "tty": true}])));
}

#[test]
fn applying_again_changes_nothing() {
    let mut state = State::default();
    state.apply(CONFIG_MAP, "me", map(json!({"x": "1"})));
    let before = (state.object.clone(), state.managed.clone());
    state.apply(CONFIG_MAP, "me", map(json!({"x": "1"})));
    assert_eq!((state.object, state.managed), before);
}

#[test]
fn what_was_there_before_has_an_owner_too() {
    let mut state = State { object: Some(map(json!({"x": "1", "y": "1"}))), ..State::default() };
    assert_eq!(
        state.conflict(CONFIG_MAP, "me", map(json!({"x": "2"}))),
        r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x"#
    );
    state.apply(CONFIG_MAP, "me", map(json!({"x": "1"})));
    assert_eq!(state.managers(), ["me Apply", "before-first-apply Update"]);
}

#[test]
fn kubectl_takes_over_from_its_client_side() {
    let mut state = State::default();
    let annotated = |data: Value| {
        let mut object = map(data.clone());
        let last = format!("{}\n", map(data));
        object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
        object
    };
    state.update(CONFIG_MAP, "kubectl-client-side-apply", annotated(json!({"x": "1", "y": "1"})));
    let mut changed = state.object().clone();
    changed["data"]["y"] = json!("2");
    state.update(CONFIG_MAP, "editor", changed);
    assert_eq!(
        state.conflict(CONFIG_MAP, "kubectl", map(json!({"x": "3", "y": "3"}))),
        r#"Apply failed with 1 conflict: conflict with "editor" using v1: .data.y"#
    );
    assert!(state.conflict(CONFIG_MAP, "helm", map(json!({"x": "3"}))).contains("kubectl-client-side-apply"));
    state.apply(CONFIG_MAP, "kubectl", map(json!({"x": "3"})));
    assert_eq!(state.object()["data"], json!({"x": "3", "y": "2"}));
    let annotation = &state.object()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        annotation,
        "{\"apiVersion\":\"v1\",\"data\":{\"x\":\"3\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"m\",\"namespace\":\"n\"}}\n"
    );
}

#[test]
fn removing_the_last_field_removes_the_entry() {
    let mut state = State::default();
    state.apply(CONFIG_MAP, "a", map(json!({"x": "1"})));
    state.apply(CONFIG_MAP, "b", map(json!({"y": "1"})));
    let mut nothing = map(json!({}));
    nothing.as_object_mut().unwrap().shift_remove("data");
    state.apply(CONFIG_MAP, "a", nothing);
    assert_eq!(state.managers(), ["b Apply"]);
}
