use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
    object::Object,
    plan::{Decision, Plan, Target, Write},
};
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn cron_job(schedule: &str, spec: Value) -> Value {
    let mut full = json!({
        "schedule": schedule, "concurrencyPolicy": "Allow", "suspend": false,
        "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": {"app": "a"}}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        full[field] = value.clone();
    }
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "n", "uid": "c-uid", "creationTimestamp": Timestamp::from_second(1_000_000).unwrap()}, "spec": full})
}

/// 13:46:40 on a Monday.
fn world(schedule: &str, spec: Value) -> World {
    let mut world = World::new();
    world.put::<CronJob>(cron_job(schedule, spec));
    world
}

fn outcome(world: &World, told: &Told) -> Outcome {
    let cron_job = world.get::<CronJob>("n", "c").unwrap();
    let mut jobs = world.all::<Job>();
    jobs.retain(|job| job.metadata.owner_references.as_ref().is_some_and(|owners| owners[0].uid == "c-uid"));
    let zone = match cron_job.spec.time_zone.as_deref() {
        None => Some(TimeZone::UTC),
        Some(name) => TimeZone::get(name).ok(),
    };
    let taken = |name: &str| world.get::<Job>("n", name).is_some();
    let mut seen = Observed {
        cron_job: &cron_job,
        jobs: &jobs,
        taken: &taken,
        zone: zone.as_ref(),
        live: None,
        told,
        now: world.now,
    };
    let found = reconcile(&seen);
    let Decision::Need(Target { name, .. }) = &found.decision else { return found };
    let live = Live { uid: world.get::<Job>("n", name).map(|job| job.uid().to_owned()), deleting: false };
    seen.live = Some(&live);
    reconcile(&seen)
}

fn plan(world: &World) -> Plan {
    match outcome(world, &Told::default()).decision {
        Decision::Do(plan) => plan,
        Decision::Need(_) => panic!("asks twice"),
    }
}

fn finish(world: &mut World, kind: &str) -> bool {
    let mut acted = false;
    for job in world.all::<Job>().iter().filter(|job| crate::job::finished(job).is_none()) {
        let now = world.now;
        world.change::<Job>("n", job.name(), |job| {
            job["status"] = json!({"startTime": now, "conditions": [{"type": kind, "status": "True"}]});
            if kind == "Complete" {
                job["status"]["completionTime"] = json!(now);
            }
        });
        acted = true;
    }
    acted
}

#[test]
fn one_job_for_each_time() {
    let mut start = world("0 * * * *", json!({}));
    assert_eq!(plan(&start).again_in.unwrap().as_millis(), 800_100);
    assert!(plan(&start).is_empty());
    start.pass(1000);
    let round = |world: &mut World| {
        let plan = plan(world);
        let _ = world.run(&plan);
        finish(world, "Complete") || plan.writes().next().is_some()
    };
    converges(&start, 10, round, |world| {
        let jobs = world.all::<Job>();
        assert_eq!(jobs.iter().map(|job| job.name()).collect::<Vec<_>>(), ["c-16680"]);
        let metadata = &jobs[0].metadata;
        assert_eq!(metadata.annotations.as_ref().unwrap()[SCHEDULED], "1970-01-12T14:00:00Z");
        assert_eq!(metadata.labels.as_ref().unwrap()["app"], "a");
        let status = world.get::<CronJob>("n", "c").unwrap().status.unwrap();
        assert_eq!(status.last_schedule_time.unwrap().0.to_string(), "1970-01-12T14:00:00Z");
        assert_eq!((status.active, status.last_successful_time.is_some()), (None, true));
    });
}

/// Four minutes, in which no job ends: how many there are, and how many the status lists.
fn check_policy(policy: &str, jobs: usize, oldest: &str, told: usize) {
    let mut world = world("* * * * *", json!({"concurrencyPolicy": policy}));
    let mut told_before = Told::default();
    let mut complaints = 0;
    for _ in 0..48 {
        world.pass(5);
        let found = outcome(&world, &told_before);
        told_before = found.told;
        let Decision::Do(plan) = found.decision else { panic!("asks twice") };
        complaints += plan.notes.iter().filter(|note| note.reason == "JobAlreadyActive").count();
        world.run(&plan).unwrap();
    }
    let names: Vec<String> = world.all::<Job>().iter().map(|job| job.name().to_owned()).collect();
    assert_eq!((names.len(), names[0].as_str(), complaints), (jobs, oldest, told), "{policy}");
    let status = world.get::<CronJob>("n", "c").unwrap().status.unwrap();
    assert_eq!(status.active.unwrap().len(), jobs);
}

#[test]
fn concurrency_policies() {
    check_policy("Allow", 4, "c-16667", 0);
    check_policy("Forbid", 1, "c-16667", 3);
    check_policy("Replace", 1, "c-16670", 0);
}

#[test]
fn forbidden_jobs_start_when_the_former_has_ended() {
    let mut world = world("* * * * *", json!({"concurrencyPolicy": "Forbid"}));
    for _ in 0..4 {
        world.pass(60);
        world.run(&plan(&world.clone())).unwrap();
    }
    finish(&mut world, "Failed");
    world.run(&plan(&world.clone())).unwrap();
    world.run(&plan(&world.clone())).unwrap();
    let names: Vec<String> = world.all::<Job>().iter().map(|job| job.name().to_owned()).collect();
    assert_eq!(names, ["c-16667", "c-16670"]);
}

#[test]
fn a_clock_that_leaps_starts_one_job() {
    let mut world = world("* * * * *", json!({}));
    world.pass(3 * 3600);
    let first = plan(&world);
    assert_eq!(first.notes.iter().map(|note| note.reason).collect::<Vec<_>>(), ["TooManyMissedTimes"]);
    world.run(&first).unwrap();
    world.run(&plan(&world.clone())).unwrap();
    assert_eq!(world.all::<Job>().len(), 1);
    assert!(plan(&world).is_empty());
    // And back: nothing until the last start is past.
    world.pass(-3600);
    assert!(plan(&world).is_empty());
    assert_eq!(plan(&world).again_in.unwrap().as_secs(), 3600 + 20);
}

#[test]
fn history_limits() {
    let mut world = world("0 0 1 1 *", json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}));
    let owner = json!([{"uid": "c-uid", "kind": "CronJob", "name": "c", "controller": true}]);
    for (name, kind, started) in [("a", "Complete", 5), ("b", "Complete", 9), ("d", "Failed", 7), ("e", "", 1)] {
        let started = Timestamp::from_second(started).unwrap();
        world.put::<Job>(json!({
            "metadata": {"name": name, "namespace": "n", "ownerReferences": owner},
            "status": {"startTime": started, "conditions": [{"type": kind, "status": "True"}]},
        }));
    }
    world.run(&plan(&world.clone())).unwrap();
    let names: Vec<String> = world.all::<Job>().iter().map(|job| job.name().to_owned()).collect();
    assert_eq!(names, ["b", "e"]);
}

#[test]
fn jobs_that_somebody_else_made_are_told_of_once() {
    let mut world = world("0 0 1 1 *", json!({"concurrencyPolicy": "Forbid"}));
    let owner = json!([{"uid": "c-uid", "kind": "CronJob", "name": "c", "controller": true}]);
    world.put::<Job>(json!({"metadata": {"name": "by-hand", "namespace": "n", "ownerReferences": owner}}));
    let reasons = |outcome: &Outcome| match &outcome.decision {
        Decision::Do(plan) => plan.notes.iter().map(|note| note.reason).collect::<Vec<_>>(),
        Decision::Need(_) => panic!("asks"),
    };
    let first = outcome(&world, &Told::default());
    assert_eq!(reasons(&first), ["UnexpectedJob"]);
    assert_eq!(reasons(&outcome(&world, &first.told)), [""; 0]);
    finish(&mut world, "Complete");
    assert_eq!(outcome(&world, &first.told).told, Told::default());
}

#[test]
fn a_running_job_that_is_gone_is_asked_about() {
    let mut world = world("0 0 1 1 *", json!({}));
    world.change::<CronJob>("n", "c", |cron_job| {
        cron_job["status"] = json!({"active": [{"kind": "Job", "name": "gone", "uid": "x"}]});
    });
    let plan = plan(&world);
    assert_eq!(plan.notes[0].reason, "MissingJob");
    world.run(&plan).unwrap();
    assert_eq!(world.get::<CronJob>("n", "c").unwrap().status.unwrap().active, None);
}

#[test]
fn nothing_starts() {
    let check = |schedule: &str, spec: Value, reasons: &[&str]| {
        let mut world = world(schedule, spec);
        world.pass(7200);
        let plan = plan(&world);
        assert_eq!(plan.notes.iter().map(|note| note.reason).collect::<Vec<_>>(), reasons);
        assert!(plan.writes().all(|write| !matches!(write, Write::Create { .. })));
    };
    check("0 * * * *", json!({"suspend": true}), &[]);
    check("0 * * * *", json!({"timeZone": "Mars/Olympus"}), &["UnknownTimeZone"]);
    check("0 * * *", json!({}), &["UnparseableSchedule"]);
    check("0 * * * *", json!({"startingDeadlineSeconds": 10}), &[]);
}

#[test]
fn time_zones() {
    let mut world = world("0 15 * * *", json!({"timeZone": "Europe/Berlin"}));
    world.pass(1000);
    world.run(&plan(&world.clone())).unwrap();
    assert_eq!(world.all::<Job>()[0].metadata.annotations.as_ref().unwrap()[SCHEDULED], "1970-01-12T15:00:00+01:00");
    world.run(&plan(&world.clone())).unwrap();
    let status = world.get::<CronJob>("n", "c").unwrap().status.unwrap();
    assert_eq!(status.last_schedule_time, Some(Time("1970-01-12T14:00:00Z".parse().unwrap())));
}
