use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Job;
use crate::{
    FieldValidation, Requester,
    kind::{Context, Kind},
    typed::Typed,
};

const KIND: &Typed<Job> = &Typed::NEW;

fn context<T>(run: impl FnOnce(&Context) -> T) -> T {
    let extra = BTreeMap::new();
    let user = Requester { name: "u", uid: "", groups: &[], extra: &extra };
    run(&Context { now: jiff::Timestamp::UNIX_EPOCH, user })
}

fn created(spec: Value) -> Value {
    let mut value = json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    json_patch::merge(&mut value, &json!({"spec": spec}));
    let mut object = KIND.decode_value(value, FieldValidation::Strict).unwrap().object;
    KIND.set_defaults(&mut object);
    context(|cx| KIND.prepare_create(&mut object, cx));
    object
}

#[track_caller]
fn check(spec: Value, wanted: &[&str]) {
    let errors: Vec<_> = KIND.validate_create(&created(spec)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

#[track_caller]
fn check_change(old: &Value, changes: Value, subresource: Option<&str>, wanted: &[&str]) {
    let mut new = old.clone();
    json_patch::merge(&mut new, &changes);
    context(|cx| KIND.prepare_update(&mut new, old, subresource, cx));
    let errors: Vec<_> = KIND.validate_update(&new, old, subresource).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

#[test]
fn defaults() {
    let spec = created(json!({}))["spec"].take();
    assert_eq!((&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]), (&json!(1), &json!(1), &json!(6)));
    assert_eq!((&spec["completionMode"], &spec["suspend"]), (&json!("NonIndexed"), &json!(false)));
    assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
    let queue = created(json!({"parallelism": 3}))["spec"].take();
    assert!(queue.get("completions").is_none());
    let indexed = created(json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1}));
    assert_eq!(indexed["spec"]["backoffLimit"], i32::MAX);
}

#[test]
fn selectors() {
    let job = created(json!({}));
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"],
        json!({"batch.kubernetes.io/job-name": "j", "job-name": "j",
            "batch.kubernetes.io/controller-uid": "u", "controller-uid": "u"})
    );
    assert_eq!(job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]);
    check(json!({}), &[]);
    check(
        json!({"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}}),
        &[
            "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"j\"}: `selector` does not match template `labels`",
            "spec.selector: Invalid value: {\"matchLabels\":{\"batch.kubernetes.io/controller-uid\":\"other\"}}: `selector` not auto-generated",
        ],
    );
    check(json!({"manualSelector": true}), &["spec.selector: Required value"]);
    let manual = json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}}});
    check(manual, &[]);
}

#[test]
fn what_a_spec_may_say() {
    check(
        json!({"template": {"spec": {"restartPolicy": "Always"}}}),
        &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    check(
        json!({"parallelism": -1, "activeDeadlineSeconds": -1, "maxFailedIndexes": 1}),
        &[
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        ],
    );
    check(
        json!({"completionMode": "Indexed", "parallelism": 1}),
        &["spec.completions: Required value: when completion mode is Indexed"],
    );
    check(
        json!({"managedBy": "me"}),
        &["spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
    check(
        json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-3"}, {}]}}),
        &[
            "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-3\": error parsing succeededIndexes: too large index: \"3\"",
            "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        ],
    );
}

#[test]
fn failure_policies() {
    let policy = |rule: Value| json!({"podFailurePolicy": {"rules": [rule]}});
    check(policy(json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]})), &[]);
    check(
        policy(
            json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [5, 0, 5], "containerName": "d"}}),
        ),
        &[
            "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"d\": must be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 5",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [5,0,5]: must be ordered",
        ],
    );
    check(
        policy(json!({"action": ""})),
        &[
            "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    );
}

#[test]
fn what_may_change() {
    let job = created(json!({}));
    check_change(&job, json!({"spec": {"parallelism": 5, "suspend": true, "ttlSecondsAfterFinished": 3}}), None, &[]);
    check_change(
        &job,
        json!({"spec": {"completions": 5, "completionMode": "Indexed"}}),
        None,
        &[
            "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism",
            "spec.completionMode: Invalid value: \"Indexed\": field is immutable",
        ],
    );
    let indexed = created(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    check_change(&indexed, json!({"spec": {"completions": 3, "parallelism": 3}}), None, &[]);
}

/// Where pods go and what they ask for may change before they are there.
#[test]
fn suspended_jobs_can_be_changed_more() {
    let changes = json!({"spec": {"template": {"metadata": {"labels": {"x": "y"}}, "spec": {"nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File", "resources": {"requests": {"cpu": "1"}}}]}}}});
    let immutable = |old: &Value| {
        let mut new = old.clone();
        json_patch::merge(&mut new, &changes);
        KIND.validate_update(&new, old, None).iter().map(|e| e.field.clone()).collect::<Vec<_>>()
    };
    let running = created(json!({}));
    assert_eq!(immutable(&running), ["spec.template"]);
    let mut suspended = created(json!({"suspend": true}));
    assert_eq!(immutable(&suspended), Vec::<String>::new());
    suspended["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "active": 1});
    assert_eq!(immutable(&suspended), ["spec.template"]);
    suspended["status"] = json!({"startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Suspended", "status": "True"}]});
    assert_eq!(immutable(&suspended), Vec::<String>::new());
}

#[test]
fn what_a_status_may_become() {
    let job = created(json!({}));
    let condition = |types: &[&str]| -> Value { types.iter().map(|t| json!({"type": t, "status": "True"})).collect() };
    let done = json!({"status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:05Z",
        "conditions": condition(&["SuccessCriteriaMet", "Complete"])}});
    check_change(&job, done.clone(), Some("status"), &[]);
    check_change(
        &job,
        json!({"status": {"active": 1, "ready": 2, "conditions": condition(&["Complete", "Failed"])}}),
        Some("status"),
        &[
            "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
        ],
    );
    let mut finished = job.clone();
    json_patch::merge(&mut finished, &done);
    check_change(
        &finished,
        json!({"status": {"succeeded": 0, "conditions": condition(&["SuccessCriteriaMet"]), "completionTime": null}}),
        Some("status"),
        &[
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
        ],
    );
}

#[test]
fn cells() {
    let mut job = created(json!({"completions": 3}));
    job["status"] = json!({"succeeded": 1, "startTime": "1969-12-31T23:59:00Z"});
    let cells = KIND.cells(&job, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(
        Value::Array(cells),
        json!(["j", "Running", "1/3", "60s", "<unknown>", "c", "i", "batch.kubernetes.io/controller-uid=u"])
    );
    assert_eq!(KIND.field(&job, "status.successful").as_deref(), Some("1"));
}
