use std::{cell::RefCell, collections::BTreeMap};

use api_types::plan::Write;
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn job(spec: Value) -> Value {
    let mut full = json!({
        "parallelism": 2,
        "backoffLimit": 6,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"},
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        full[field] = value.clone();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n", "uid": "job-uid"}, "spec": full})
}

fn world(spec: Value) -> World {
    let mut world = World::new();
    world.put::<Job>(job(spec));
    world
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Succeeds,
    Fails,
    FailsWith(i32),
    RunsOn,
}

/// The kubelet and the scheduler: a pod starts, runs, and ends as `script` says; a deleted one ends and goes once
/// nobody holds it.
fn kubelet(world: &mut World, script: &dyn Fn(&Pod) -> Ends) -> bool {
    let mut acted = false;
    for pod in world.all::<Pod>() {
        let (name, now) = (pod.metadata.name.clone(), world.now);
        let mut set = |status: Value| {
            world.change::<Pod>("n", &name, |pod| pod["status"] = status);
            acted = true;
        };
        let ended = |phase: &str, code: i32| {
            json!({"phase": phase, "containerStatuses": [
                {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": now}}}]})
        };
        match (&*pod.status.phase, pod.metadata.deleting()) {
            ("Succeeded" | "Failed", true) | ("", true) if pod.metadata.finalizers.is_empty() => {
                world.remove::<Pod>("n", &name);
                acted = true;
            }
            ("Succeeded" | "Failed", _) => {}
            (_, true) => set(ended("Failed", 137)),
            ("", false) => set(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})),
            (_, false) => match script(&pod) {
                Ends::Succeeds => set(ended("Succeeded", 0)),
                Ends::Fails => set(ended("Failed", 1)),
                Ends::FailsWith(code) => set(ended("Failed", code)),
                Ends::RunsOn => {}
            },
        }
    }
    acted
}

fn decide(world: &World, backoff: &mut Backoff, failure: Option<&Failure>) -> Plan {
    let Some(job) = world.get::<Job>("n", "j") else { return Plan::default() };
    let pods = world.all::<Pod>();
    learn(backoff, &job, &pods);
    let live = Live { uid: job.metadata.uid.clone(), deleting: job.metadata.deletion_timestamp.is_some() };
    let mut seen = Observed { job: &job, pods: &pods, backoff, live: None, failure, now: world.now };
    match reconcile(&seen) {
        Decision::Do(plan) => plan,
        Decision::Need(_) => {
            seen.live = Some(&live);
            match reconcile(&seen) {
                Decision::Do(plan) => plan,
                Decision::Need(_) => panic!("asks twice"),
            }
        }
    }
}

/// Every pod that ever ended, and how: what the counts must come to.
#[derive(Default)]
struct Ended(BTreeMap<Box<str>, Box<str>>);

fn check(start: &World, script: &dyn Fn(&Pod) -> Ends, condition: &str, status: impl Fn(&JobNumbers)) {
    let memory = RefCell::new((None::<Failure>, Backoff::default(), Ended::default()));
    let round = |world: &mut World| {
        let (failure, backoff, ended) = &mut *memory.borrow_mut();
        let plan = decide(world, backoff, failure.as_ref());
        *failure = world.run(&plan).err();
        let acted = kubelet(world, script);
        let job = world.get::<Job>("n", "j").unwrap();
        let active = world.all::<Pod>().iter().filter(|pod| pod.active()).count();
        let most = usize::try_from(job.spec.as_ref().unwrap().parallelism.unwrap()).unwrap();
        assert!(active <= most, "{active} of {most}");
        for pod in world.all::<Pod>().iter().filter(|pod| pod.finished()) {
            ended.0.insert(pod.metadata.uid.clone(), pod.status.phase.clone());
        }
        if let Some(wait) = plan.again_in {
            world.pass(i64::try_from(wait.as_secs()).unwrap());
        }
        acted || !plan.is_empty() || plan.again_in.is_some() && finished(&job).is_none() && !condition.is_empty()
    };
    converges(start, 60, round, |world| {
        let job = world.get::<Job>("n", "j").unwrap();
        let numbers = JobNumbers::of(&job);
        assert_eq!(numbers.ending, condition);
        status(&numbers);
        if condition.is_empty() {
            return;
        }
        assert!(world.all::<Pod>().iter().all(|pod| !tracked(pod)), "a finalizer is left");
        assert_eq!((numbers.active, numbers.terminating, numbers.uncounted), (0, 0, 0));
        let mut memory = memory.borrow_mut();
        let ended = std::mem::take(&mut memory.2).0;
        memory.1 = Backoff::default();
        if numbers.counts_all {
            let of = |phase: &str| i32::try_from(ended.values().filter(|p| &***p == phase).count()).unwrap();
            assert_eq!((numbers.succeeded, numbers.failed), (of("Succeeded"), of("Failed")), "lost or counted twice");
        }
    });
}

#[derive(Debug)]
struct JobNumbers {
    ending: String,
    reason: String,
    active: i32,
    succeeded: i32,
    failed: i32,
    terminating: i32,
    uncounted: usize,
    completed: String,
    failed_indexes: Option<String>,
    counts_all: bool,
}

impl JobNumbers {
    fn of(job: &Job) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let ending = finished(job);
        let spec = job.spec.as_ref().unwrap();
        Self {
            ending: ending.map(|c| c.type_.clone()).unwrap_or_default(),
            reason: ending.and_then(|c| c.reason.clone()).unwrap_or_default(),
            active: status.active.unwrap_or(0),
            succeeded: status.succeeded.unwrap_or(0),
            failed: status.failed.unwrap_or(0),
            terminating: status.terminating.unwrap_or(0),
            uncounted: uncounted.succeeded.map_or(0, |l| l.len()) + uncounted.failed.map_or(0, |l| l.len()),
            completed: status.completed_indexes.unwrap_or_default(),
            failed_indexes: status.failed_indexes,
            counts_all: spec.pod_failure_policy.is_none() && spec.success_policy.is_none(),
        }
    }
}

fn index_of(pod: &Pod) -> i32 {
    pod.metadata.annotations.completion_index.as_deref().unwrap().parse().unwrap()
}

#[test]
fn completes() {
    for (completions, parallelism) in [(1, 1), (3, 2), (2, 5), (4, 4), (0, 1)] {
        let start = world(json!({"completions": completions, "parallelism": parallelism}));
        check(&start, &|_| Ends::Succeeds, "Complete", |numbers| {
            assert_eq!((numbers.succeeded, numbers.failed), (completions, 0));
            assert_eq!(numbers.reason, "CompletionsReached");
        });
    }
}

#[test]
fn a_work_queue_is_done_with_the_first_success_and_the_end_of_the_others() {
    let start = world(json!({"parallelism": 3}));
    check(&start, &|_| Ends::Succeeds, "Complete", |numbers| assert_eq!(numbers.succeeded, 3));
}

#[test]
fn gives_up_at_the_backoff_limit() {
    let start = world(json!({"completions": 1, "parallelism": 1, "backoffLimit": 2}));
    check(&start, &|_| Ends::Fails, "Failed", |numbers| {
        assert_eq!((numbers.failed, numbers.reason.as_str()), (3, "BackoffLimitExceeded"));
    });
}

#[test]
fn what_still_runs_when_a_job_fails_has_failed() {
    let start = world(json!({"completions": 3, "parallelism": 3, "backoffLimit": 0, "completionMode": "Indexed"}));
    let script = |pod: &Pod| if index_of(pod) == 0 { Ends::Fails } else { Ends::RunsOn };
    check(&start, &script, "Failed", |numbers| assert_eq!(numbers.failed, 3));
}

#[test]
fn indexed() {
    let start = world(json!({"completions": 5, "parallelism": 2, "completionMode": "Indexed"}));
    check(&start, &|_| Ends::Succeeds, "Complete", |numbers| {
        assert_eq!((numbers.succeeded, numbers.completed.as_str()), (5, "0-4"));
    });
}

#[test]
fn an_index_fails_alone() {
    let start = world(json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1,
    }));
    let script = |pod: &Pod| if index_of(pod) == 1 { Ends::Fails } else { Ends::Succeeds };
    check(&start, &script, "Failed", |numbers| {
        assert_eq!(numbers.reason, "FailedIndexes");
        assert_eq!((numbers.completed.as_str(), numbers.failed_indexes.as_deref()), ("0,2", Some("1")));
        assert_eq!(numbers.failed, 2);
    });
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let start = world(json!({
        "completions": 4, "parallelism": 2, "completionMode": "Indexed",
        "backoffLimit": i32::MAX, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1,
    }));
    check(&start, &|_| Ends::Fails, "Failed", |numbers| assert_eq!(numbers.reason, "MaxFailedIndexesExceeded"));
}

#[test]
fn failure_policy() {
    let policy = |action: &str| json!({"rules": [{"action": action, "onExitCodes": {"containerName": null, "operator": "In", "values": [42]}}]});
    let spec = |action: &str| json!({"completions": 2, "parallelism": 2, "backoffLimit": 1, "completionMode": "Indexed", "podFailurePolicy": policy(action)});
    let script = |pod: &Pod| if index_of(pod) == 0 { Ends::FailsWith(42) } else { Ends::RunsOn };
    check(&world(spec("FailJob")), &script, "Failed", |numbers| assert_eq!(numbers.reason, "PodFailurePolicy"));

    // Ignored failures do not count, however many.
    let tries = RefCell::new(0);
    let stubborn = |_: &Pod| {
        *tries.borrow_mut() += 1;
        if *tries.borrow() % 4 == 0 { Ends::Succeeds } else { Ends::FailsWith(42) }
    };
    check(&world(spec("Ignore")), &stubborn, "Complete", |numbers| assert_eq!(numbers.failed, 0));
}

#[test]
fn success_policy_ends_the_rest() {
    let start = world(json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    }));
    let script = |pod: &Pod| if index_of(pod) == 0 { Ends::Succeeds } else { Ends::RunsOn };
    check(&start, &script, "Complete", |numbers| {
        assert_eq!((numbers.reason.as_str(), numbers.succeeded), ("SuccessPolicy", 1));
    });
}

#[test]
fn suspended_jobs_have_no_pods_and_resumed_ones_start_anew() {
    let mut start = world(json!({"completions": 2, "suspend": true}));
    check(&start, &|_| Ends::Succeeds, "", |numbers| assert_eq!((numbers.active, numbers.succeeded), (0, 0)));
    let mut backoff = Backoff::default();
    let plan = decide(&start, &mut backoff, None);
    start.run(&plan).unwrap();
    let status = start.get::<Job>("n", "j").unwrap().status.unwrap();
    let condition = &status.conditions.unwrap()[0];
    assert_eq!((condition.type_.as_str(), condition.reason.as_deref()), ("Suspended", Some("JobSuspended")));
    assert_eq!(status.start_time, None);

    start.pass(50);
    start.change::<Job>("n", "j", |job| job["spec"]["suspend"] = json!(false));
    let plan = decide(&start, &mut backoff, None);
    start.run(&plan).unwrap();
    let status = start.get::<Job>("n", "j").unwrap().status.unwrap();
    assert_eq!(status.start_time.unwrap().0, start.now);
    let condition = &status.conditions.unwrap()[0];
    assert_eq!((condition.status.as_str(), condition.reason.as_deref()), ("False", Some("JobResumed")));
    check(&start, &|_| Ends::Succeeds, "Complete", |numbers| assert_eq!(numbers.succeeded, 2));
}

#[test]
fn suspending_counts_nobody() {
    let mut world = world(json!({"completions": 2}));
    let mut backoff = Backoff::default();
    for _ in 0..3 {
        let plan = decide(&world, &mut backoff, None);
        world.run(&plan).unwrap();
        kubelet(&mut world, &|_| Ends::RunsOn);
    }
    world.change::<Job>("n", "j", |job| job["spec"]["suspend"] = json!(true));
    for _ in 0..5 {
        let plan = decide(&world, &mut backoff, None);
        world.run(&plan).unwrap();
        kubelet(&mut world, &|_| Ends::RunsOn);
    }
    let numbers = JobNumbers::of(&world.get::<Job>("n", "j").unwrap());
    assert_eq!((numbers.active, numbers.failed, world.all::<Pod>().len()), (0, 0, 0), "{numbers:?}");
}

#[test]
fn ends_at_its_deadline() {
    let start = world(json!({"completions": 1, "activeDeadlineSeconds": 5}));
    check(&start, &|_| Ends::RunsOn, "Failed", |numbers| assert_eq!(numbers.reason, "DeadlineExceeded"));
}

#[test]
fn replacements_wait_for_the_end_of_the_pod() {
    for (policy, made) in [("Failed", 0), ("TerminatingOrFailed", 1)] {
        let mut world = world(json!({"completions": 1, "parallelism": 1, "podReplacementPolicy": policy}));
        let mut backoff = Backoff::default();
        let plan = decide(&world, &mut backoff, None);
        world.run(&plan).unwrap();
        let name = world.all::<Pod>()[0].metadata.name.clone();
        world.change::<Pod>("n", &name, |pod| {
            pod["metadata"]["deletionTimestamp"] = json!(Timestamp::from_second(999_000).unwrap());
        });
        let plan = decide(&world, &mut backoff, None);
        let creates = plan.writes().filter(|write| matches!(write, Write::Create { .. })).count();
        assert_eq!(creates, made, "{policy}: {plan:?}");
    }
}

#[test]
fn the_pod_of_an_index() {
    let world = world(json!({"completions": 3, "parallelism": 1, "completionMode": "Indexed"}));
    let plan = decide(&world, &mut Backoff::default(), None);
    let Some(Write::Create { object, .. }) = plan.writes().next() else { panic!("{plan:?}") };
    assert_eq!(object["metadata"]["generateName"], "j-0-");
    assert_eq!(object["metadata"]["labels"], json!({"app": "a", COMPLETION_INDEX: "0"}));
    assert_eq!(object["metadata"]["annotations"][COMPLETION_INDEX], "0");
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(object["spec"]["hostname"], "j-0");
    let path = format!("metadata.labels['{COMPLETION_INDEX}']");
    assert_eq!(
        object["spec"]["containers"][0]["env"],
        json!([{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}])
    );
}

#[test]
fn adopts_with_the_finalizer_and_gives_up_without() {
    let mut world = world(json!({"completions": 2, "parallelism": 2}));
    let pod = |name: &str, app: &str, owned: bool| {
        let owners = if owned { json!([{"uid": "job-uid", "kind": "Job", "controller": true}]) } else { json!([]) };
        let finalizers = if owned { json!([FINALIZER]) } else { json!([]) };
        json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": app}, "ownerReferences": owners, "finalizers": finalizers}})
    };
    world.put::<Pod>(pod("orphan", "a", false));
    world.put::<Pod>(pod("strayed", "b", true));
    let plan = decide(&world, &mut Backoff::default(), None);
    world.run(&plan).unwrap();
    let (orphan, strayed) = (world.get::<Pod>("n", "orphan").unwrap(), world.get::<Pod>("n", "strayed").unwrap());
    assert!(orphan.metadata.controller().is_some() && tracked(&orphan));
    assert!(strayed.metadata.controller().is_none() && !tracked(&strayed));
}

#[test]
fn says_that_more_succeeded_than_asked_for() {
    let check = |successes: usize, want: &[&str]| {
        let mut world = world(json!({"completions": 1, "parallelism": 1}));
        for n in 0..successes {
            let owner = json!([{"uid": "job-uid", "kind": "Job", "controller": true}]);
            let metadata = json!({"name": n.to_string(), "namespace": "n", "uid": n.to_string(),
                "labels": {"app": "a"}, "ownerReferences": owner, "finalizers": [FINALIZER]});
            world.put::<Pod>(json!({"metadata": metadata, "status": {"phase": "Succeeded"}}));
        }
        let plan = decide(&world, &mut Backoff::default(), None);
        assert_eq!(plan.notes.iter().map(|note| note.reason).collect::<Vec<_>>(), want);
    };
    check(1, &[]);
    check(2, &["TooManySucceededPods"]);
}

#[test]
fn leaves_the_jobs_of_others_alone() {
    let world = world(json!({"managedBy": "example.com/other"}));
    assert!(decide(&world, &mut Backoff::default(), None).is_empty());
}

#[test]
fn the_pods_of_a_job_that_is_gone_are_let_go() {
    let pod: Pod = serde_json::from_value(json!({"metadata": {
        "name": "p", "namespace": "n", "uid": "p", "finalizers": [FINALIZER],
        "ownerReferences": [{"kind": "Job", "name": "j", "uid": "old", "controller": true}],
    }}))
    .unwrap();
    let pods = [Arc::new(pod)];
    assert!(matches!(abandoned("n", "j", &pods, None), Decision::Need(_)));
    let live = |uid: &str| Live { uid: Some(uid.to_owned()), deleting: false };
    let writes = |live: &Live| match abandoned("n", "j", &pods, Some(live)) {
        Decision::Do(plan) => plan.writes().count(),
        Decision::Need(_) => panic!("asks twice"),
    };
    assert_eq!(writes(&live("old")), 0);
    assert_eq!(writes(&live("new")), 1);
}
