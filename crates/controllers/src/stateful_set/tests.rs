use std::cell::Cell;

use api_types::plan::{Decision, Plan, Write};
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn set(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "n", "uid": "web-uid"},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {"app": "a"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        },
    })
}

fn start(replicas: i32, change: impl FnOnce(&mut Value)) -> World {
    let (mut world, mut set) = (World::new(), set(replicas));
    change(&mut set["spec"]);
    world.put::<StatefulSet>(set);
    world
}

fn set_image(world: &mut World, image: &str) {
    world.change::<StatefulSet>("n", "web", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
}

fn plan(world: &World) -> Plan {
    let Some(set) = world.get::<StatefulSet>("n", "web") else { return Plan::default() };
    let live = Live { uid: set.metadata.uid.clone(), deleting: false };
    let (pods, revisions) = (world.all::<Pod>(), world.all::<ControllerRevision>());
    let mut seen = Observed {
        set: &set,
        pods: &pods,
        revisions: &revisions,
        revision_taken: &|name| world.get::<ControllerRevision>("n", name).is_some(),
        claim: &|name| world.get::<PersistentVolumeClaim>("n", name).map(Arc::new),
        live: None,
        now: world.now,
    };
    if let Decision::Do(plan) = reconcile(&seen) {
        return plan;
    }
    seen.live = Some(&live);
    match reconcile(&seen) {
        Decision::Do(plan) => plan,
        Decision::Need(_) => panic!("asks twice"),
    }
}

/// The kubelet: one step a round for each pod that is not `broken`, and the garbage collector for claims.
fn kubelet(world: &mut World, broken: &dyn Fn(&str) -> bool) -> bool {
    let mut acted = false;
    for pod in world.all::<Pod>() {
        let name = pod.metadata.name.to_string();
        if pod.metadata.deleting() {
            world.remove::<Pod>("n", &name);
            acted = true;
        } else if !pod.ready() && !pod.finished() && !broken(&name) {
            let now = world.now;
            world.change::<Pod>("n", &name, |pod| {
                pod["status"] = json!({
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
                });
            });
            acted = true;
        }
    }
    for claim in world.all::<PersistentVolumeClaim>() {
        let pods = world.all::<Pod>();
        let gone = |owner: &api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
            owner.kind == "Pod" && pods.iter().all(|pod| *pod.metadata.uid != *owner.uid)
        };
        if claim.metadata.owner_references.iter().flatten().any(gone) {
            world.remove::<PersistentVolumeClaim>("n", claim.metadata.name.as_deref().unwrap());
            acted = true;
        }
    }
    acted
}

fn round(world: &mut World) -> bool {
    let plan = plan(world);
    // A write that fails is tried again in the next round.
    let failed = world.run(&plan).is_err();
    let acted = kubelet(world, &|_| false);
    acted || failed || !plan.is_empty()
}

fn settle(world: &mut World) {
    for _ in 0..60 {
        if !round(world) {
            return;
        }
        world.pass(1);
    }
    panic!("does not settle");
}

fn names(world: &World) -> Vec<String> {
    world.all::<Pod>().iter().map(|pod| pod.metadata.name.to_string()).collect()
}

fn revisions(world: &World) -> Vec<String> {
    world.all::<Pod>().iter().map(|pod| identity::revision(pod).to_owned()).collect()
}

fn status(world: &World) -> api_types::k8s_openapi::api::apps::v1::StatefulSetStatus {
    world.get::<StatefulSet>("n", "web").unwrap().status.unwrap()
}

fn check_complete(world: &World, replicas: i32) {
    let status = status(world);
    let all = Some(replicas);
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (replicas, all, all));
    assert_eq!((status.current_replicas, status.updated_replicas), (all, all));
    assert_eq!(status.current_revision, status.update_revision);
    let update = status.update_revision.unwrap();
    assert!(revisions(world).iter().all(|revision| *revision == update));
    assert_eq!(world.all::<Pod>().len(), usize::try_from(replicas).unwrap());
}

#[test]
fn converges_from_any_size_to_any_size() {
    for policy in ["OrderedReady", "Parallel"] {
        for (from, to) in [(0, 3), (3, 0), (1, 3), (3, 1), (2, 2)] {
            let mut world = start(from, |spec| spec["podManagementPolicy"] = json!(policy));
            settle(&mut world);
            world.change::<StatefulSet>("n", "web", |set| set["spec"]["replicas"] = json!(to));
            world.writes = 0;
            converges(&world, 30, round, |world| check_complete(world, to));
        }
    }
}

#[test]
fn a_pod_has_its_names_and_its_claim() {
    let mut world = start(1, |spec| spec["ordinals"] = json!({"start": 5}));
    settle(&mut world);
    let pod = world.raw::<Pod>("n", "web-5");
    assert_eq!(pod["spec"]["hostname"], "web-5");
    assert_eq!(pod["spec"]["subdomain"], "nginx");
    assert_eq!(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "web-5");
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "5");
    assert_eq!(pod["metadata"]["labels"]["app"], "a");
    let revision = &world.all::<ControllerRevision>()[0];
    assert_eq!(pod["metadata"]["labels"]["controller-revision-hash"], json!(revision.metadata.name));
    let claim = json!({"claimName": "data-web-5", "readOnly": false});
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "data", "persistentVolumeClaim": claim}]));
    let claim = world.get::<PersistentVolumeClaim>("n", "data-web-5").unwrap();
    assert_eq!(claim.metadata.labels.unwrap()["app"], "a");
    assert_eq!(claim.metadata.owner_references, None);
}

/// What the next plan does to pods, in order.
fn next(world: &World) -> Vec<String> {
    plan(world)
        .writes()
        .filter_map(|write| match write {
            Write::Create { object, .. } if object["kind"] == "Pod" => {
                Some(format!("+{}", object["metadata"]["name"].as_str().unwrap()))
            }
            Write::Delete { target, .. } if target.resource.plural == "pods" => Some(format!("-{}", target.name)),
            _ => None,
        })
        .collect()
}

#[test]
fn comes_and_goes_in_order() {
    let mut world = start(3, |_| {});
    let mut seen = Vec::new();
    for replicas in [3, 0] {
        world.change::<StatefulSet>("n", "web", |set| set["spec"]["replicas"] = json!(replicas));
        for _ in 0..20 {
            seen.extend(next(&world));
            round(&mut world);
        }
    }
    assert_eq!(seen, ["+web-0", "+web-1", "+web-2", "-web-2", "-web-1", "-web-0"]);
    let parallel = start(3, |spec| {
        spec["podManagementPolicy"] = json!("Parallel");
        spec["volumeClaimTemplates"] = json!([]);
    });
    assert_eq!(next(&parallel), ["+web-0", "+web-1", "+web-2"]);
}

#[test]
fn halts_while_a_pod_is_not_available() {
    let mut world = start(2, |spec| spec["minReadySeconds"] = json!(10));
    for _ in 0..3 {
        world.run(&plan(&world.clone())).unwrap();
    }
    assert_eq!(names(&world), ["web-0"]);
    kubelet(&mut world, &|_| false);
    world.run(&plan(&world.clone())).unwrap();
    let waiting = plan(&world);
    assert!(waiting.is_empty(), "{waiting:?}");
    assert_eq!(waiting.again_in, Some(std::time::Duration::from_secs(10)));
    world.pass(10);
    assert_eq!(next(&world), ["+web-1"]);
}

#[test]
fn replaces_pods_that_have_ended() {
    for (phase, reason) in [("Failed", "RecreatingFailedPod"), ("Succeeded", "RecreatingTerminatedPod")] {
        let mut world = start(2, |_| {});
        settle(&mut world);
        world.change::<Pod>("n", "web-0", |pod| pod["status"]["phase"] = json!(phase));
        assert_eq!(next(&world), ["-web-0"]);
        assert_eq!(plan(&world).notes[0].reason, reason);
        let before = world.get::<Pod>("n", "web-0").unwrap().metadata.uid;
        converges(&world, 30, round, |world| check_complete(world, 2));
        settle(&mut world);
        assert_ne!(world.get::<Pod>("n", "web-0").unwrap().metadata.uid, before);
    }
}

#[test]
fn an_update_goes_from_the_last_to_the_first() {
    for (policy, may_lack, lack) in
        [("OrderedReady", 1, 1), ("Parallel", 1, 1), ("Parallel", 2, 2), ("OrderedReady", 2, 2)]
    {
        let mut world = start(4, |spec| {
            spec["podManagementPolicy"] = json!(policy);
            spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!(may_lack);
        });
        settle(&mut world);
        set_image(&mut world, "two");
        let most = Cell::new(0);
        let watched = |world: &mut World| {
            let acted = round(world);
            let available = world.all::<Pod>().iter().filter(|pod| pod.ready() && !pod.metadata.deleting()).count();
            most.set(most.get().max(4 - available));
            acted
        };
        let mut order = Vec::new();
        let mut observed = world.clone();
        while observed.writes < 200 {
            order.extend(next(&observed).into_iter().filter(|name| name.starts_with('-')));
            if !round(&mut observed) {
                break;
            }
        }
        assert_eq!(order, ["-web-3", "-web-2", "-web-1", "-web-0"], "{policy}");
        world.writes = 0;
        converges(&world, 60, watched, |world| check_complete(world, 4));
        assert!(most.get() <= lack, "{policy}: {} were lacking", most.get());
    }
}

#[test]
fn below_the_partition_nothing_is_updated() {
    let mut world = start(3, |spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(2));
    settle(&mut world);
    let old = status(&world).current_revision.unwrap();
    set_image(&mut world, "two");
    settle(&mut world);
    let new = status(&world).update_revision.unwrap();
    assert_eq!(revisions(&world), [old.clone(), old.clone(), new.clone()]);
    assert_eq!((status(&world).current_replicas, status(&world).updated_replicas), (Some(2), Some(1)));
    // A pod that is lost comes back as it was.
    world.remove::<Pod>("n", "web-0");
    settle(&mut world);
    assert_eq!(revisions(&world), [old.clone(), old, new]);
    let image = world.raw::<Pod>("n", "web-0")["spec"]["containers"][0]["image"].clone();
    assert_eq!(image, "one");
    world.change::<StatefulSet>("n", "web", |set| {
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
    });
    settle(&mut world);
    check_complete(&world, 3);
}

#[test]
fn on_delete_waits_for_the_user() {
    let mut world = start(2, |spec| spec["updateStrategy"] = json!({"type": "OnDelete"}));
    settle(&mut world);
    set_image(&mut world, "two");
    settle(&mut world);
    assert_eq!(status(&world).updated_replicas, Some(0));
    world.remove::<Pod>("n", "web-1");
    settle(&mut world);
    assert_eq!(status(&world).updated_replicas, Some(1));
}

#[test]
fn goes_back_to_a_former_revision() {
    let mut world = start(1, |_| {});
    settle(&mut world);
    let first = status(&world).current_revision.unwrap();
    for image in ["two", "three", "one"] {
        set_image(&mut world, image);
        settle(&mut world);
    }
    // The limit keeps one idle revision: "one" was forgotten and is made again under the same name.
    check_complete(&world, 1);
    assert_eq!(status(&world).current_revision.as_deref(), Some(&*first));
    assert_eq!(world.all::<ControllerRevision>().len(), 2);
    set_image(&mut world, "three");
    settle(&mut world);
    let newest = world.all::<ControllerRevision>().into_iter().max_by_key(|revision| revision.revision).unwrap();
    assert_eq!(newest.revision, 5);
    assert_eq!(newest.metadata.name, status(&world).current_revision);
}

#[test]
fn a_broken_update_that_is_taken_back_heals() {
    let mut world = start(2, |spec| spec["podManagementPolicy"] = json!("Parallel"));
    settle(&mut world);
    set_image(&mut world, "broken");
    for _ in 0..10 {
        world.run(&plan(&world.clone())).unwrap();
        kubelet(&mut world, &|name| name == "web-1");
    }
    assert_eq!(status(&world).ready_replicas, Some(1));
    set_image(&mut world, "one");
    settle(&mut world);
    check_complete(&world, 2);
}

#[test]
fn claims_go_with_their_owner_as_told() {
    let owner = |world: &World, claim: &str| {
        let claim = world.get::<PersistentVolumeClaim>("n", claim)?;
        claim.metadata.owner_references.and_then(|owners| Some(owners.first()?.kind.clone()))
    };
    for (scaled, deleted) in [("Retain", "Retain"), ("Retain", "Delete"), ("Delete", "Retain"), ("Delete", "Delete")] {
        let policy = json!({"whenScaled": scaled, "whenDeleted": deleted});
        let mut world = start(2, |spec| spec["persistentVolumeClaimRetentionPolicy"] = policy);
        settle(&mut world);
        let expected = (deleted == "Delete").then(|| "StatefulSet".to_owned());
        assert_eq!(owner(&world, "data-web-1"), expected);
        world.change::<StatefulSet>("n", "web", |set| set["spec"]["replicas"] = json!(1));
        settle(&mut world);
        let kept = world.get::<PersistentVolumeClaim>("n", "data-web-1").is_some();
        assert_eq!(kept, scaled == "Retain", "{scaled} {deleted}");
        // The policy may change at any time.
        world.change::<StatefulSet>("n", "web", |set| {
            set["spec"]["persistentVolumeClaimRetentionPolicy"] =
                json!({"whenScaled": "Retain", "whenDeleted": "Retain"});
        });
        settle(&mut world);
        assert_eq!(owner(&world, "data-web-0"), None);
    }
}

#[test]
fn a_claim_of_a_former_pod_is_waited_for() {
    let mut world = start(1, |_| {});
    world.put::<PersistentVolumeClaim>(json!({
        "metadata": {"name": "data-web-0", "namespace": "n", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "former"}]},
    }));
    assert!(next(&world).is_empty());
    settle(&mut world);
    check_complete(&world, 1);
}

#[test]
fn adopts_its_own_names_only() {
    let mut world = start(1, |_| {});
    for name in ["web-0", "stray"] {
        world.put::<Pod>(json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": "a"}}}));
    }
    let writes: Vec<_> = plan(&world).writes().cloned().collect();
    let patched: Vec<&str> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Patch { target, .. } => Some(&*target.name),
            _ => None,
        })
        .collect();
    assert_eq!(patched, ["web-0"]);
}

#[test]
fn a_taken_revision_name_counts_as_a_collision() {
    let mut world = start(1, |_| {});
    let spec = world.get::<StatefulSet>("n", "web").unwrap().spec.unwrap();
    let hash = crate::history::Data::of(&spec.template).hash(Some(0));
    let owner = json!([{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]);
    world.put::<ControllerRevision>(json!({
        "metadata": {"name": format!("web-{hash}"), "namespace": "n", "ownerReferences": owner}, "revision": 1,
    }));
    settle(&mut world);
    check_complete(&world, 1);
    assert_eq!(status(&world).collision_count, Some(1));
}

#[test]
fn a_set_that_is_being_deleted_does_nothing_to_its_pods() {
    let mut world = start(2, |_| {});
    settle(&mut world);
    let now = world.now;
    world.change::<StatefulSet>("n", "web", |set| set["metadata"]["deletionTimestamp"] = json!(now));
    world.remove::<Pod>("n", "web-1");
    assert!(next(&world).is_empty());
}
