//! What the subresources of pods may change.

use std::collections::BTreeMap;

use api_rules::{Context, FieldValidation, Kind, Requester, kinds};
use serde_json::{Value, json};

fn pods() -> &'static dyn Kind {
    kinds::find("", "v1", "pods").expect("pods are served")
}

/// A pod that runs, with `changes` merged in.
fn pod(changes: Value) -> Value {
    let mut value = json!({"metadata": {"name": "p", "namespace": "n", "generation": 1}, "spec": {
        "initContainers": [{"name": "i", "image": "i"}],
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "example.com/a": "1"},
            "limits": {"memory": "1Gi", "example.com/a": "1"}}}]},
        "status": {"qosClass": "Burstable"}});
    json_patch::merge(&mut value, &changes);
    let mut object = pods().decode_value(value, FieldValidation::Strict).expect("a well-formed pod").object;
    pods().set_defaults(&mut object);
    object
}

/// What becomes of `old` on the subresource, and the errors on that.
fn changed(old: &Value, subresource: &str, change: impl FnOnce(&mut Value)) -> (Value, Vec<String>) {
    let mut new = old.clone();
    change(&mut new);
    let extra = BTreeMap::new();
    let user = Requester { name: "u", uid: "", groups: &[], extra: &extra };
    let context = Context { now: jiff::Timestamp::UNIX_EPOCH, user };
    pods().prepare_update(&mut new, old, Some(subresource), &context);
    let errors = pods().validate_update(&new, old, Some(subresource)).iter().map(ToString::to_string).collect();
    (new, errors)
}

#[track_caller]
fn check(old: &Value, subresource: &str, change: impl FnOnce(&mut Value), wanted: &[&str]) {
    assert_eq!(changed(old, subresource, change).1, wanted);
}

#[test]
fn a_resize_changes_processor_and_memory_only() {
    let old = pod(json!({}));
    let resources = |p: &mut Value, path: &str, value: Value| {
        *p.pointer_mut(&format!("/spec/containers/0/resources{path}")).expect("a path of the pod") = value;
    };
    let (new, errors) = changed(&old, "resize", |p| {
        resources(p, "/requests/cpu", json!("2"));
        p["spec"]["containers"][0]["image"] = "other".into();
        p["metadata"]["labels"] = json!({"a": "b"});
    });
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(new["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
    assert_eq!((&new["spec"]["containers"][0]["image"], new["metadata"].get("labels")), (&json!("i"), None));
    assert_eq!(new["metadata"]["generation"], 2);
    let extended = |p: &mut Value| {
        resources(p, "/requests/example.com~1a", json!("2"));
        resources(p, "/limits/example.com~1a", json!("2"));
    };
    check(&old, "resize", extended, &["spec: Forbidden: only cpu and memory resources are mutable"]);
    check(
        &old,
        "resize",
        |p| resources(p, "/limits", json!({"example.com/a": "1"})),
        &["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
    );
    check(
        &old,
        "resize",
        |p| p["spec"]["initContainers"][0]["resources"] = json!({"requests": {"cpu": "1"}}),
        &["spec: Forbidden: resources for non-sidecar init containers are immutable"],
    );
    let exact = pod(json!({"spec": {"initContainers": null, "containers": [{"name": "c", "image": "i",
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}]}}));
    check(
        &exact,
        "resize",
        |p| resources(p, "/limits/cpu", json!("2")),
        &["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"],
    );
}

#[test]
fn not_every_pod_can_be_resized() {
    let grow = |p: &mut Value| p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
    let running = |more: Value| {
        let mut status = json!({"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}}});
        json_patch::merge(&mut status, &more);
        pod(json!({"status": {"containerStatuses": [status]}}))
    };
    check(&running(json!({"resources": {}})), "resize", grow, &[]);
    check(&running(json!({})), "resize", grow, &["spec: Forbidden: Pod running on node without support for resize"]);
    let mirror = pod(json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}));
    assert!(changed(&mirror, "resize", grow).1[0].ends_with("Forbidden: static pods cannot be resized"));
}

#[test]
fn policies_of_resizing() {
    let policy = |name: &str, how: &str| json!({"resourceName": name, "restartPolicy": how});
    let mut pod = pod(json!({"spec": {"restartPolicy": "Never"}}));
    pod["spec"]["containers"][0]["resizePolicy"] =
        json!([policy("cpu", "NotRequired"), policy("memory", "RestartContainer"), policy("cpu", "NotRequired")]);
    let errors: Vec<_> = pods().validate_create(&pod).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "spec.containers[0].resizePolicy[2]: Duplicate value: \"cpu\"",
            "spec.containers[0].resizePolicy[1].restartPolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
        ]
    );
}

#[test]
fn ephemeral_containers_are_only_added() {
    let debugger =
        json!({"name": "d", "image": "busybox", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"});
    let old = pod(json!({}));
    let (with, errors) = changed(&old, "ephemeralcontainers", |p| {
        p["spec"]["ephemeralContainers"] = json!([debugger]);
        p["spec"]["containers"][0]["image"] = "other".into();
    });
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(with["spec"]["containers"][0]["image"], "i");
    check(
        &with,
        "ephemeralcontainers",
        |p| p["spec"]["ephemeralContainers"] = json!([]),
        &["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"],
    );
    check(
        &with,
        "ephemeralcontainers",
        |p| p["spec"]["ephemeralContainers"][0]["image"] = "other".into(),
        &[
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be changed\nephemeralContainer.image: \"busybox\" -> \"other\"",
        ],
    );
    let (kept, _) = changed(&with, "status", |p| p["spec"]["ephemeralContainers"] = json!([]));
    assert_eq!(kept["spec"]["ephemeralContainers"][0]["name"], "d");
}

#[test]
fn what_ended_stays_ended() {
    let ended = |code: i32| {
        json!({"status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}}]}})
    };
    let rerun = |p: &mut Value| p["status"]["containerStatuses"][0]["state"] = json!({"running": {}});
    let forbidden = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
    let policy = |policy: &str, code: i32| {
        let mut changes = ended(code);
        changes["spec"] = json!({"restartPolicy": policy});
        pod(changes)
    };
    check(&policy("Always", 0), "status", rerun, &[]);
    check(&policy("OnFailure", 1), "status", rerun, &[]);
    check(&policy("OnFailure", 0), "status", rerun, &[forbidden]);
    check(&policy("Never", 1), "status", rerun, &[forbidden]);
    // Whoever loses its sandbox starts from the beginning.
    let init = json!([{"name": "i", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}]);
    let begun = pod(json!({"status": {"initContainerStatuses": init}}));
    check(&begun, "status", |p| p["status"]["initContainerStatuses"][0]["state"] = json!({"running": {}}), &[]);
}

#[test]
fn statuses() {
    let old = pod(json!({}));
    check(
        &old,
        "status",
        |p| p["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}, {"ip": "x"}]),
        &[
            "status.podIPs[2]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "status.podIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\",\"x\"]: may specify no more than one IP for each IP family",
        ],
    );
    check(&old, "status", |p| p["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]), &[]);
    let (kept, errors) = changed(&old, "status", |p| p["status"]["qosClass"] = "Guaranteed".into());
    assert_eq!((&kept["status"]["qosClass"], errors), (&json!("Burstable"), vec![]));
}
