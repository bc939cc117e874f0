use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{FieldValidation, Kind, kinds};

fn pods() -> &'static dyn Kind {
    kinds::find("", "v1", "pods").unwrap()
}

/// The pod as the server would hold it, from this spec.
fn pod(spec: Value) -> Value {
    let value = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec});
    let mut object = pods().decode_value(value, FieldValidation::Strict).unwrap().object;
    pods().set_defaults(&mut object);
    object
}

/// A valid spec with `changes` merged into its only container.
fn container(changes: Value) -> Value {
    let mut container = json!({"name": "c", "image": "busybox"});
    json_patch::merge(&mut container, &changes);
    json!({"containers": [container]})
}

fn check(spec: Value, wanted: &[&str]) {
    let errors: Vec<_> = pods().validate_create(&pod(spec)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

#[test]
fn a_plain_pod_is_valid_and_complete() {
    let object = pod(container(json!({"ports": [{"containerPort": 80}]})));
    assert_eq!(pods().validate_create(&object), vec![]);
    assert_eq!(
        object["spec"],
        json!({
            "containers": [{
                "name": "c", "image": "busybox", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "imagePullPolicy": "Always", "resources": {}, "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        })
    );
}

#[test]
fn pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("localhost:5000/busybox", "Always"),
        ("localhost:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:00", "IfNotPresent"),
    ] {
        let object = pod(container(json!({"image": image})));
        assert_eq!(object["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn containers() {
    check(json!({"containers": []}), &["spec.containers: Required value"]);
    check(container(json!({"image": null})), &["spec.containers[0].image: Required value"]);
    check(
        json!({"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]}),
        &["spec.containers[1].name: Duplicate value: \"a\""],
    );
    check(
        container(json!({"imagePullPolicy": "Sometimes"})),
        &[
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ],
    );
    check(
        container(json!({"ports": [{"containerPort": 0}, {"containerPort": 70000}]})),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
}

#[test]
fn probes_and_hooks() {
    check(
        container(json!({"livenessProbe": {}})),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check(
        container(json!({"livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 1}}})),
        &["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    );
    check(
        container(json!({"readinessProbe": {"httpGet": {"port": "http"}, "exec": {"command": ["a"]}}})),
        &["spec.containers[0].readinessProbe.httpGet: Forbidden: may not specify more than 1 handler type"],
    );
    check(
        container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}})),
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ],
    );
}

#[test]
fn environment() {
    check(
        container(
            json!({"env": [{"name": ""}, {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        ),
        &[
            "spec.containers[0].env[0].name: Required value",
            "spec.containers[0].env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ],
    );
    check(
        container(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostname"}}}]})),
        &[
            "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Unsupported value: \"spec.hostname\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        ],
    );
}

#[test]
fn volumes_and_mounts() {
    let mut spec =
        container(json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": "/b"}]}));
    spec["volumes"] = json!([{"name": "v"}]);
    check(spec, &["spec.containers[0].volumeMounts[1].name: Not found: \"w\""]);
    let mut spec = container(json!({}));
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x/../y"}}]);
    check(
        spec,
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[0].hostPath.path: Invalid value: \"/x/../y\": must not contain '..'",
        ],
    );
}

#[test]
fn resources() {
    check(
        container(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
        &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
    );
    check(
        container(json!({"resources": {"requests": {"disk": "2"}}})),
        &[
            "spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a standard resource for containers",
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ],
    );
    let object = pod(container(json!({"resources": {"limits": {"cpu": "1", "memory": "64Mi"}}})));
    assert_eq!(object["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "64Mi"}));
}

#[test]
fn scheduling() {
    let mut spec = container(json!({}));
    spec["tolerations"] =
        json!([{"key": "a", "operator": "Exists", "value": "b"}, {"tolerationSeconds": 1, "operator": "Exists"}]);
    let errors = pods().validate_create(&pod(spec));
    assert_eq!(errors.len(), 2);
    assert!(errors[0].to_string().ends_with("value must be empty when `operator` is 'Exists'"));
    assert_eq!(
        errors[1].to_string(),
        "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"
    );
}

fn context(check: impl FnOnce(&crate::Context)) {
    let (groups, extra) = (Vec::new(), std::collections::BTreeMap::new());
    let user = crate::Requester { name: "u", uid: "", groups: &groups, extra: &extra };
    check(&crate::Context { now: Timestamp::UNIX_EPOCH, user });
}

fn update(change: impl FnOnce(&mut Value), wanted: &[&str]) {
    context(|cx| {
        let mut old = pod(container(json!({})));
        pods().prepare_create(&mut old, cx);
        let mut new = old.clone();
        change(&mut new);
        pods().prepare_update(&mut new, &old, None, cx);
        let errors: Vec<_> = pods().validate_update(&new, &old, None).iter().map(|e| e.to_string()).collect();
        assert_eq!(errors.len(), wanted.len(), "{errors:?}");
        for (error, wanted) in errors.iter().zip(wanted) {
            assert!(error.starts_with(wanted), "{error}");
        }
        let changed = old["spec"] != new["spec"];
        assert_eq!(new["metadata"]["generation"], if changed { 2 } else { 1 });
        assert_eq!(new["status"], old["status"]);
    });
}

#[test]
fn updates() {
    update(|_| {}, &[]);
    update(|p| p["spec"]["containers"][0]["image"] = "nginx".into(), &[]);
    update(|p| p["metadata"]["labels"] = json!({"a": "b"}), &[]);
    update(|p| p["spec"]["tolerations"] = json!([{"operator": "Exists"}]), &[]);
    update(|p| p["status"]["phase"] = "Running".into(), &[]);
    update(
        |p| p["spec"]["containers"][0]["command"] = json!(["x"]),
        &["spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"],
    );
    update(
        |p| p["spec"]["containers"] = json!([]),
        &[
            "spec.containers: Required value",
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ],
    );
}

#[test]
fn status_updates_leave_the_spec() {
    context(|cx| {
        let mut old = pod(container(json!({})));
        pods().prepare_create(&mut old, cx);
        assert_eq!(old["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
        let mut new = old.clone();
        new["spec"]["nodeName"] = "n".into();
        new["status"] = json!({"phase": "Running"});
        pods().prepare_update(&mut new, &old, Some("status"), cx);
        assert_eq!(new["spec"], old["spec"]);
        assert_eq!(new["status"], json!({"phase": "Running", "qosClass": "BestEffort"}));
        assert_eq!(new["metadata"]["generation"], 1);
    });
}

#[test]
fn grace_periods() {
    let check = |object: Value, requested, wanted| assert_eq!(pods().grace_period(&object, requested), Some(wanted));
    let running = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}});
    check(running.clone(), None, 30);
    check(running.clone(), Some(5), 5);
    check(running, Some(-1), 1);
    check(json!({"spec": {"terminationGracePeriodSeconds": 30}}), None, 0);
    check(json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}), Some(5), 0);
}

fn shown(status: Value, deleting: bool, wanted: [&str; 3]) {
    let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}, "status": status});
    if deleting {
        object["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    }
    let cells = pods().cells(&object, "2024-01-01T00:10:00Z".parse().unwrap());
    assert_eq!(cells.len(), pods().columns().len());
    assert_eq!(cells[1..4], wanted);
}

#[test]
fn what_get_shows() {
    let running = json!({"state": {"running": {}}, "ready": true, "restartCount": 0});
    let both = json!([running, running]);
    shown(json!({"phase": "Pending"}), false, ["0/2", "Pending", "0"]);
    shown(json!({"phase": "Running", "containerStatuses": both}), false, ["2/2", "Running", "0"]);
    shown(json!({"phase": "Running", "containerStatuses": both}), true, ["2/2", "Terminating", "0"]);
    shown(
        json!({"phase": "Running", "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2024-01-01T00:05:00Z"}}}, running]}),
        false,
        ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
    );
    shown(
        json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
        false,
        ["0/2", "Init:0/1", "0"],
    );
    shown(
        json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]}),
        false,
        ["0/2", "Init:ExitCode:2", "0"],
    );
    shown(
        json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
        false,
        ["0/2", "Error", "0"],
    );
    shown(json!({"phase": "Failed", "reason": "Evicted"}), false, ["0/2", "Evicted", "0"]);
}
