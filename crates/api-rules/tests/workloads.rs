//! The rules of the kinds that keep pods, and of what bounds them: defaults, validation, updates, cells.

use std::collections::BTreeMap;

use api_rules::{Context, FieldValidation, Kind, Requester, kinds};
use serde_json::{Value, json};

fn kind(name: &str) -> &'static dyn Kind {
    kinds::all().iter().copied().find(|k| k.names().kind == name).expect("a kind of the list")
}

fn decoded(name: &str, mut value: Value) -> Value {
    let own = json!({"metadata": {"name": "x", "namespace": "default", "uid": "u"}});
    json_patch::merge(&mut value, &own);
    let mut object = kind(name).decode_value(value, FieldValidation::Strict).expect("a well-formed object").object;
    kind(name).set_defaults(&mut object);
    object
}

fn with_context<T>(run: impl FnOnce(&Context) -> T) -> T {
    let (groups, extra) = (vec![], BTreeMap::new());
    let user = Requester { name: "u", uid: "", groups: &groups, extra: &extra };
    run(&Context { now: jiff::Timestamp::UNIX_EPOCH, user })
}

fn created(name: &str, value: Value) -> Value {
    let mut object = decoded(name, value);
    with_context(|cx| kind(name).prepare_create(&mut object, cx));
    object
}

/// Errors on creating `value`.
#[track_caller]
fn check(name: &str, value: Value, wanted: &[&str]) {
    let errors: Vec<_> = kind(name).validate_create(&created(name, value)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

/// What becomes of `old` when `changes` are merged into it, and the errors on that.
fn changed(name: &str, old: &Value, changes: Value, subresource: Option<&str>) -> (Value, Vec<String>) {
    let mut new = old.clone();
    json_patch::merge(&mut new, &changes);
    kind(name).set_defaults(&mut new);
    with_context(|cx| kind(name).prepare_update(&mut new, old, subresource, cx));
    let errors = kind(name).validate_update(&new, old, subresource).iter().map(ToString::to_string).collect();
    (new, errors)
}

#[track_caller]
fn check_change(name: &str, old: &Value, changes: Value, subresource: Option<&str>, wanted: &[&str]) {
    assert_eq!(changed(name, old, changes, subresource).1, wanted);
}

fn cells(name: &str, object: &Value) -> Value {
    Value::Array(kind(name).cells(object, jiff::Timestamp::UNIX_EPOCH))
}

/// `spec` with a selector and template that fit each other.
fn workload(changes: Value) -> Value {
    let mut value = json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    json_patch::merge(&mut value, &json!({"spec": changes}));
    value
}

#[test]
fn stateful_sets() {
    let set = created("StatefulSet", workload(json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}}]})));
    let spec = &set["spec"];
    assert_eq!((&spec["replicas"], &spec["podManagementPolicy"]), (&json!(1), &json!("OrderedReady")));
    assert_eq!(
        spec["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}})
    );
    assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    assert_eq!(
        spec["volumeClaimTemplates"][0],
        json!({"metadata": {"name": "d"}, "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}})
    );
    assert_eq!(set["status"], json!({"replicas": 0, "availableReplicas": 0}));
    assert_eq!(cells("StatefulSet", &set), json!(["x", "0/1", "<unknown>", "c", "i"]));
    check("StatefulSet", workload(json!({})), &[]);
    let mounts = json!([{"name": "c", "image": "i", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}]);
    let mounting = |claim: &str| {
        workload(
            json!({"template": {"spec": {"containers": mounts}}, "volumeClaimTemplates": [{"metadata": {"name": claim}}]}),
        )
    };
    check("StatefulSet", mounting("d"), &[]);
    let missing = "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"d\"";
    check("StatefulSet", mounting("e"), &[missing]);
    check(
        "StatefulSet",
        workload(json!({"podManagementPolicy": "Chaos", "ordinals": {"start": -1}, "selector": {"matchLabels": null},
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}})),
        &[
            "spec.podManagementPolicy: Invalid value: \"Chaos\": must be 'OrderedReady' or 'Parallel'",
            "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
            "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
        ],
    );
    check_change("StatefulSet", &set, json!({"spec": {"replicas": 3, "minReadySeconds": 5}}), None, &[]);
    let forbidden = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    check_change("StatefulSet", &set, json!({"spec": {"serviceName": "other"}}), None, &[forbidden]);
    check_change(
        "StatefulSet",
        &set,
        json!({"status": {"replicas": 1, "readyReplicas": 2}}),
        Some("status"),
        &["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
    );
}

#[test]
fn daemon_sets() {
    const GENERATION: &str = "deprecated.daemonset.template.generation";
    let set = created("DaemonSet", workload(json!({})));
    assert_eq!(
        set["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );
    assert_eq!(set["metadata"]["annotations"][GENERATION], "1");
    assert_eq!(cells("DaemonSet", &set), json!(["x", 0, 0, 0, 0, 0, "<none>", "<unknown>", "c", "i", "a=b"]));
    check("DaemonSet", workload(json!({})), &[]);
    check(
        "DaemonSet",
        workload(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}})),
        &[
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ],
    );
    check(
        "DaemonSet",
        workload(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}})),
        &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    );
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}});
    let (new, errors) = changed("DaemonSet", &set, image, None);
    assert_eq!((errors, &new["metadata"]["generation"]), (vec![], &json!(2)));
    assert_eq!(new["metadata"]["annotations"][GENERATION], "2");
    let tampered = json!({"metadata": {"annotations": {GENERATION: "9"}}, "spec": {"minReadySeconds": 1}});
    assert_eq!(changed("DaemonSet", &set, tampered, None).0["metadata"]["annotations"][GENERATION], "1");
    let selector = json!({"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}},
        "template": {"metadata": {"labels": {"c": "d"}}}}});
    check_change(
        "DaemonSet",
        &set,
        selector,
        None,
        &["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"],
    );
}

#[test]
fn replication_controllers() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let controller = created("ReplicationController", json!({"spec": {"template": template}}));
    assert_eq!(controller["spec"]["selector"], json!({"a": "b"}));
    assert_eq!(controller["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(cells("ReplicationController", &controller), json!(["x", 1, 0, 0, "<unknown>", "c", "i", "a=b"]));
    assert_eq!(kind("ReplicationController").field(&controller, "status.replicas").as_deref(), Some("0"));
    check("ReplicationController", json!({"spec": {"template": template}}), &[]);
    check(
        "ReplicationController",
        json!({"spec": {"selector": {"a": "c"}, "template": template}}),
        &["spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"],
    );
    check(
        "ReplicationController",
        json!({"spec": {"replicas": -1}}),
        &[
            "spec.selector: Required value",
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template: Required value",
        ],
    );
    let scale = api_rules::scale::read(&controller, kind("ReplicationController").scale_paths().unwrap());
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "a=b"}));
}

#[test]
fn revisions_and_templates() {
    check(
        "ControllerRevision",
        json!({"revision": -1}),
        &["data: Required value: data is mandatory", "revision: Invalid value: -1: must be greater than or equal to 0"],
    );
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": true});
    let revision = created(
        "ControllerRevision",
        json!({"data": {"a": 1}, "revision": 3, "metadata": {"ownerReferences": [owner]}}),
    );
    assert_eq!(cells("ControllerRevision", &revision), json!(["x", "statefulset.apps/web", 3, "<unknown>"]));
    check_change(
        "ControllerRevision",
        &revision,
        json!({"data": {"a": 2}}),
        None,
        &["data: Invalid value: {\"a\":2}: field is immutable"],
    );
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let object = created("PodTemplate", json!({"template": template}));
    assert_eq!(object["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(cells("PodTemplate", &object), json!(["x", "c", "i", "a=b"]));
    let changes = json!({"template": {"metadata": {"labels": {"a": "c"}}}});
    assert_eq!(changed("PodTemplate", &object, changes, None).0["metadata"]["generation"], 2);
    check("PodTemplate", json!({}), &["template.spec.containers: Required value"]);
}

#[test]
fn budgets() {
    let budget = created("PodDisruptionBudget", json!({"spec": {"minAvailable": "50%", "selector": {}}}));
    assert_eq!(cells("PodDisruptionBudget", &budget), json!(["x", "50%", "N/A", 0, "<unknown>"]));
    check("PodDisruptionBudget", json!({"spec": {"maxUnavailable": 1}}), &[]);
    check(
        "PodDisruptionBudget",
        json!({"spec": {"maxUnavailable": "101%", "minAvailable": -1, "unhealthyPodEvictionPolicy": "Never"}}),
        &[
            "spec: Invalid value: {\"maxUnavailable\":\"101%\",\"minAvailable\":-1,\"unhealthyPodEvictionPolicy\":\"Never\"}: minAvailable and maxUnavailable cannot be both set",
            "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
            "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
        ],
    );
    check_change(
        "PodDisruptionBudget",
        &budget,
        json!({"status": {"disruptionsAllowed": -1, "conditions": [{"type": "A", "status": "Maybe",
            "reason": "a b", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
        Some("status"),
        &[
            "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            "status.conditions[0].reason: Invalid value: \"a b\": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
            "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn quotas() {
    let hard = json!({"cpu": "2", "pods": 10, "limits.memory": "1Gi", "count/jobs.batch": "3"});
    check("ResourceQuota", json!({"spec": {"hard": hard}}), &[]);
    check(
        "ResourceQuota",
        json!({"spec": {"hard": {"pods": "1500m", "cpus": "1", "memory": "-1"}}}),
        &[
            "spec.hard[cpus]: Invalid value: \"cpus\": must be a standard resource for quota",
            "spec.hard[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
        ],
    );
    check(
        "ResourceQuota",
        json!({"spec": {"hard": {"cpu": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}}),
        &[
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: unsupported scope applied to resource",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes",
        ],
    );
    check(
        "ResourceQuota",
        json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}}),
        &[
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ],
    );
    let quota = created("ResourceQuota", json!({"spec": {"hard": {"pods": "1"}}}));
    check_change(
        "ResourceQuota",
        &quota,
        json!({"spec": {"scopes": ["Terminating"]}}),
        None,
        &["spec.scopes: Invalid value: [\"Terminating\"]: field is immutable"],
    );
    let status =
        json!({"status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "3", "limits.cpu": "1"}}});
    let (counted, errors) = changed("ResourceQuota", &quota, status, Some("status"));
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(cells("ResourceQuota", &counted), json!(["x", "pods: 3/10", "limits.cpu: 1/2", "<unknown>"]));
}

#[test]
fn limit_ranges() {
    let item = json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}});
    let range = created("LimitRange", json!({"spec": {"limits": [item]}}));
    let item = &range["spec"]["limits"][0];
    assert_eq!(item["default"], json!({"cpu": "2"}));
    assert_eq!(item["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
    check(
        "LimitRange",
        json!({"spec": {"limits": [
            {"type": "Pod", "default": {"cpu": "1"}, "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            {"type": "PersistentVolumeClaim", "max": {"cpu": "1"}},
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
        ]}}),
        &[
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            "spec.limits[1].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            "spec.limits[2].type: Duplicate value: \"Pod\"",
            "spec.limits[2].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
        ],
    );
}

#[test]
fn autoscalers() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let scaler = created("HorizontalPodAutoscaler", json!({"spec": {"scaleTargetRef": target, "maxReplicas": 3}}));
    assert_eq!(
        cells("HorizontalPodAutoscaler", &scaler),
        json!(["x", "Deployment/d", "cpu: <unknown>/80%", "1", 3, 0, "<unknown>"])
    );
    let external = json!({"type": "External", "external": {"metric": {"name": ""}, "target": {"type": "Value"}},
        "pods": {"metric": {"name": "a"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
    check(
        "HorizontalPodAutoscaler",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": ""}, "maxReplicas": 1, "minReplicas": 2,
            "metrics": [external, {"type": "Pods"}], "behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000}}}}),
        &[
            "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.name: Required value",
            "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
            "spec.metrics[1].pods: Required value: must populate information for the given metric source",
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
        ],
    );
}
