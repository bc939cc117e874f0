use std::cell::RefCell;

use api_types::plan::{Decision, Failure, Plan};
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn deployment(replicas: i32, image: &str, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "uid": "d-uid"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {"app": "a"}},
            "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

fn rolling() -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})
}

/// The ReplicaSet controller and what is below it: a pod a round comes or goes.
fn replica_sets(world: &mut World, available: &dyn Fn(&ReplicaSet) -> bool) -> bool {
    let mut acted = false;
    for set in world.all::<ReplicaSet>() {
        let wanted = sets::wanted(&set);
        let good = available(&set);
        let name = set.metadata.name.clone().unwrap();
        let generation = set.metadata.generation;
        world.change::<ReplicaSet>("n", &name, |value| {
            let had = value["status"]["replicas"].as_i64().unwrap_or_default();
            let has = had + (i64::from(wanted) - had).signum();
            let before = value["status"].clone();
            value["status"] = json!({
                "replicas": has,
                "readyReplicas": if good { has } else { 0 },
                "availableReplicas": if good { has } else { 0 },
                "observedGeneration": generation,
            });
            acted |= before != value["status"];
        });
    }
    acted
}

fn plan(world: &World, failure: Option<&Failure>) -> Plan {
    let Some(deployment) = world.get::<Deployment>("n", "d") else { return Plan::default() };
    let sets = world.all::<ReplicaSet>();
    let live = Live { uid: Some("d-uid".into()), deleting: false };
    let decision = reconcile(&Observed {
        deployment: &deployment,
        sets: &sets,
        name_taken: &|name| world.get::<ReplicaSet>("n", name).is_some(),
        pods: &[],
        live: Some(&live),
        failure,
        now: world.now,
    });
    match decision {
        Decision::Do(plan) => plan,
        Decision::Need(target) => panic!("asks for {target:?}"),
    }
}

fn round(world: &mut World, failure: &RefCell<Option<Failure>>) -> bool {
    let plan = plan(world, failure.borrow().as_ref());
    *failure.borrow_mut() = world.run(&plan).err();
    let acted = replica_sets(world, &|_| true);
    acted || !plan.is_empty()
}

fn settle(world: &mut World) {
    let failure = RefCell::new(None);
    for _ in 0..60 {
        if !round(world, &failure) {
            return;
        }
        world.pass(1);
    }
    panic!("does not settle");
}

/// All replicas are of the newest template, and the status says so.
fn check_complete(world: &World, replicas: i32, image: &str) {
    let sets = world.all::<ReplicaSet>();
    let active: Vec<_> = sets.iter().filter(|set| sets::wanted(set) > 0).collect();
    assert_eq!(active.len(), usize::from(replicas > 0));
    if let [active] = active[..] {
        assert_eq!(sets::wanted(active), replicas);
        let template = active.spec.as_ref().unwrap().template.decode();
        assert_eq!(template.spec.as_ref().unwrap().containers[0].image.as_deref(), Some(image));
    }
    let deployment = world.get::<Deployment>("n", "d").unwrap();
    let status = deployment.status.unwrap();
    assert_eq!(status.updated_replicas.unwrap_or_default(), replicas);
    assert_eq!(status.unavailable_replicas.unwrap_or_default(), 0);
    let reason = |kind: &str| {
        let all = status.conditions.as_ref().unwrap();
        all.iter().find(|c| c.type_ == kind).and_then(|c| c.reason.clone()).unwrap()
    };
    assert_eq!(reason("Progressing"), "NewReplicaSetAvailable");
    assert_eq!(reason("Available"), "MinimumReplicasAvailable");
}

#[test]
fn a_rollout_converges_within_its_limits() {
    for strategy in [rolling(), json!({"type": "Recreate"}), json!({})] {
        for replicas in [0, 1, 4] {
            let mut start = World::new();
            start.put::<Deployment>(deployment(replicas, "one", strategy.clone()));
            settle(&mut start);
            check_complete(&start, replicas, "one");
            start.change::<Deployment>("n", "d", |d| {
                d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
            });
            start.writes = 0;
            let failure = RefCell::new(None);
            let is_rolling = strategy == rolling();
            let watched = |world: &mut World| {
                let acted = round(world, &failure);
                if is_rolling {
                    let sets = world.all::<ReplicaSet>();
                    let wanted: i32 = sets.iter().map(|set| sets::wanted(set)).sum();
                    let available: i32 = sets.iter().filter_map(|set| set.status.as_ref()?.available_replicas).sum();
                    assert!(wanted <= replicas + 1, "{wanted} of {replicas}");
                    assert!(available >= replicas - 1, "{available} of {replicas}");
                }
                acted
            };
            converges(&start, 60, watched, |world| check_complete(world, replicas, "two"));
        }
    }
}

#[test]
fn revisions_roll_back_and_old_ones_are_forgotten() {
    let mut world = World::new();
    world.put::<Deployment>(deployment(1, "v1", rolling()));
    settle(&mut world);
    for image in ["v2", "v3", "v4", "v5"] {
        world.change::<Deployment>("n", "d", |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
        settle(&mut world);
    }
    assert_eq!(world.all::<ReplicaSet>().len(), 3, "two old ones are kept");
    world.change::<Deployment>("n", "d", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v4");
    });
    settle(&mut world);
    check_complete(&world, 1, "v4");
    let annotation = |name: &str| {
        let all = world.all::<ReplicaSet>();
        let active = all.iter().find(|set| sets::wanted(set) > 0).unwrap().clone();
        active.metadata.annotations.as_ref().unwrap().get(name).cloned()
    };
    assert_eq!(annotation("deployment.kubernetes.io/revision").as_deref(), Some("6"));
    assert_eq!(annotation("deployment.kubernetes.io/revision-history").as_deref(), Some("4"));
    let told = world.get::<Deployment>("n", "d").unwrap().metadata.annotations.unwrap();
    assert_eq!(told["deployment.kubernetes.io/revision"], "6");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let mut world = World::new();
    world.put::<Deployment>(deployment(10, "one", json!({"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})));
    settle(&mut world);
    world.change::<Deployment>("n", "d", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
    });
    // The new pods never get available: the rollout halts at 8 old and 5 new ones.
    let failure = RefCell::new(None);
    for _ in 0..30 {
        let plan = plan(&world, failure.borrow().as_ref());
        *failure.borrow_mut() = world.run(&plan).err();
        replica_sets(&mut world, &|set| {
            let template = set.spec.as_ref().unwrap().template.decode();
            template.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("one")
        });
    }
    let sizes = |world: &World| {
        let mut sizes: Vec<i32> = world.all::<ReplicaSet>().iter().map(|set| sets::wanted(set)).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&world), [5, 8]);
    world.change::<Deployment>("n", "d", |d| d["spec"]["replicas"] = json!(15));
    world.run(&plan(&world.clone(), None)).unwrap();
    // Upstream's documentation gives the same numbers for this case.
    assert_eq!(sizes(&world), [7, 11]);
}

#[test]
fn paused_deployments_scale_but_do_not_roll() {
    let mut world = World::new();
    world.put::<Deployment>(deployment(2, "one", rolling()));
    settle(&mut world);
    world.change::<Deployment>("n", "d", |d| {
        d["spec"]["paused"] = json!(true);
        d["spec"]["replicas"] = json!(3);
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
    });
    settle(&mut world);
    assert_eq!(world.all::<ReplicaSet>().iter().map(|set| sets::wanted(set)).collect::<Vec<_>>(), [3]);
    let status = world.get::<Deployment>("n", "d").unwrap().status.unwrap();
    assert!(status.conditions.unwrap().iter().any(|c| c.reason.as_deref() == Some("DeploymentPaused")));
}

#[test]
fn says_when_the_deadline_has_passed() {
    let mut world = World::new();
    world.put::<Deployment>(deployment(1, "one", rolling()));
    for _ in 0..5 {
        world.run(&plan(&world.clone(), None)).unwrap();
        replica_sets(&mut world, &|_| false);
    }
    let waiting = plan(&world, None);
    assert!(waiting.is_empty() && waiting.again_in.is_some(), "{waiting:?}");
    world.pass(601);
    world.run(&plan(&world.clone(), None)).unwrap();
    let status = world.get::<Deployment>("n", "d").unwrap().status.unwrap();
    let progressing = status.conditions.unwrap().into_iter().find(|c| c.type_ == "Progressing").unwrap();
    assert_eq!(
        (progressing.status.as_str(), progressing.reason.as_deref()),
        ("False", Some("ProgressDeadlineExceeded"))
    );
    assert!(plan(&world, None).is_empty());
}

#[test]
fn one_that_selects_everything_is_told_so_once() {
    let mut world = World::new();
    let mut all = deployment(1, "one", rolling());
    all["spec"]["selector"] = json!({});
    world.put::<Deployment>(all);
    let first = plan(&world, None);
    assert_eq!(first.notes[0].reason, "SelectingAll");
    world.run(&first).unwrap();
    assert!(plan(&world, None).is_empty());
}

#[test]
fn a_name_that_is_taken_is_counted_as_a_collision() {
    let mut world = World::new();
    world.put::<Deployment>(deployment(1, "one", rolling()));
    let spec = world.get::<Deployment>("n", "d").unwrap().spec.unwrap();
    let name = format!("d-{}", revision::hash(&spec.template.decode(), 0));
    world.put::<ReplicaSet>(json!({
        "metadata": {"name": name, "namespace": "n", "uid": "other", "ownerReferences": [
            {"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "b"}}},
    }));
    settle(&mut world);
    assert_eq!(world.get::<Deployment>("n", "d").unwrap().status.unwrap().collision_count, Some(1));
    assert_eq!(world.all::<ReplicaSet>().len(), 2);
}
