use api_types::plan::Plan;
use serde_json::Value;

use super::*;
use crate::world::{World, converges};

fn volume(name: &str, size: &str, more: Value) -> Value {
    let mut spec = json!({
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"},
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "uid": name}, "spec": spec,
        "status": {"phase": "Available"}})
}

fn claim(name: &str, size: &str, more: Value) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "resources": {"requests": {"storage": size}},
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "n", "uid": format!("{name}-uid")}, "spec": spec})
}

fn plan_of_claim(world: &World, claim: &PersistentVolumeClaim) -> Plan {
    let class = world.get::<StorageClass>("", class_of_claim(claim));
    reconcile_claim(&ObservedClaim { claim, volumes: &world.all(), class: class.as_ref() })
}

fn round(world: &mut World) -> bool {
    let mut wrote = false;
    for claim in world.all::<PersistentVolumeClaim>() {
        let plan = plan_of_claim(world, &claim);
        wrote |= plan.writes().next().is_some();
        let _ = world.run(&plan);
    }
    for volume in world.all::<PersistentVolume>() {
        let reference = claim_reference(&volume).cloned().unwrap_or_default();
        let claim = world.get::<PersistentVolumeClaim>("n", reference.name.as_deref().unwrap_or_default());
        let plan = reconcile_volume(&ObservedVolume { volume: &volume, claim: claim.as_ref(), now: world.now });
        wrote |= plan.writes().next().is_some();
        let _ = world.run(&plan);
    }
    wrote
}

fn phases(world: &World) -> Vec<String> {
    let volumes = world.all::<PersistentVolume>();
    let claims = world.all::<PersistentVolumeClaim>();
    let volumes = volumes.iter().map(|v| {
        let claim = claim_reference(v).and_then(|reference| reference.name.clone()).unwrap_or_default();
        format!("{}:{}:{claim}", v.name(), v.status.as_ref().unwrap().phase.as_deref().unwrap())
    });
    let claims = claims.iter().map(|c| {
        let volume = c.spec.as_ref().unwrap().volume_name.clone().unwrap_or_default();
        format!("{}:{}:{volume}", c.name(), c.status.as_ref().unwrap().phase.as_deref().unwrap())
    });
    volumes.chain(claims).collect()
}

fn check(objects: &[Value], expected: &[&str]) {
    let mut start = World::new();
    for object in objects {
        match object["kind"].as_str().unwrap() {
            "PersistentVolume" => start.put::<PersistentVolume>(object.clone()),
            "StorageClass" => start.put::<StorageClass>(object.clone()),
            _ => start.put::<PersistentVolumeClaim>(object.clone()),
        }
    }
    converges(&start, 12, round, |world| assert_eq!(phases(world), expected));
}

fn class(mode: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "manual"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode})
}

#[test]
fn the_smallest_that_will_do() {
    let none = json!({});
    check(
        &[
            volume("a", "10Gi", none.clone()),
            volume("b", "2Gi", none.clone()),
            volume("c", "1Gi", none.clone()),
            volume("d", "2Gi", json!({"storageClassName": "other"})),
            volume("e", "2Gi", json!({"accessModes": ["ReadOnlyMany"]})),
            volume("f", "2Gi", json!({"volumeMode": "Block"})),
            claim("x", "1500Mi", none),
        ],
        &["a:Available:", "b:Bound:x", "c:Available:", "d:Available:", "e:Available:", "f:Available:", "x:Bound:b"],
    );
}

/// Which of them gets which depends on who was first.
#[test]
fn two_claims_get_two_volumes() {
    let mut start = World::new();
    for name in ["a", "b"] {
        start.put::<PersistentVolume>(volume(name, "1Gi", json!({})));
    }
    for name in ["x", "y", "z"] {
        start.put::<PersistentVolumeClaim>(claim(name, "1Gi", json!({})));
    }
    converges(&start, 12, round, |world| {
        let phases = phases(world);
        let count = |phase: &str| phases.iter().filter(|text| text.contains(phase)).count();
        assert_eq!((count(":Bound:"), count(":Pending:")), (4, 1), "{phases:?}");
    });
}

#[test]
fn by_name_from_either_side() {
    let reserved = json!({"claimRef": {"name": "x", "namespace": "n"}});
    let none = json!({});
    check(
        &[volume("a", "1Gi", none.clone()), volume("b", "5Gi", reserved), claim("x", "1Gi", none.clone())],
        &["a:Available:", "b:Bound:x", "x:Bound:b"],
    );
    check(
        &[
            volume("a", "1Gi", none.clone()),
            volume("b", "5Gi", none.clone()),
            claim("x", "1Gi", json!({"volumeName": "b"})),
        ],
        &["a:Available:", "b:Bound:x", "x:Bound:b"],
    );
    check(&[volume("a", "1Gi", none), claim("x", "2Gi", json!({"volumeName": "a"}))], &["a:Available:", "x:Pending:a"]);
}

#[test]
fn selectors_and_late_binding() {
    let mut labelled = volume("b", "1Gi", json!({}));
    labelled["metadata"]["labels"] = json!({"disk": "fast"});
    let selector = json!({"selector": {"matchLabels": {"disk": "fast"}}});
    check(
        &[volume("a", "1Gi", json!({})), labelled, claim("x", "1Gi", selector)],
        &["a:Available:", "b:Bound:x", "x:Bound:b"],
    );
    let none = json!({});
    let waiting = [class("WaitForFirstConsumer"), volume("a", "1Gi", none.clone()), claim("x", "1Gi", none.clone())];
    check(&waiting, &["a:Available:", "x:Pending:"]);
    // The scheduler chose.
    let chosen = json!({"claimRef": {"name": "x", "namespace": "n", "uid": "x-uid"}});
    check(
        &[class("WaitForFirstConsumer"), volume("a", "1Gi", chosen), claim("x", "1Gi", none)],
        &["a:Bound:x", "x:Bound:a"],
    );
}

#[test]
fn what_is_gone() {
    let mut world = World::new();
    world.put::<PersistentVolume>(volume("a", "1Gi", json!({})));
    world.put::<PersistentVolume>(volume("b", "1Gi", json!({"persistentVolumeReclaimPolicy": "Delete"})));
    world.put::<PersistentVolumeClaim>(claim("x", "1Gi", json!({})));
    world.put::<PersistentVolumeClaim>(claim("y", "1Gi", json!({})));
    while round(&mut world) {}
    assert_eq!(phases(&world), ["a:Bound:x", "b:Bound:y", "x:Bound:a", "y:Bound:b"]);
    world.remove::<PersistentVolumeClaim>("n", "y");
    world.remove::<PersistentVolume>("", "a");
    while round(&mut world) {}
    assert_eq!(phases(&world), ["b:Failed:y", "x:Lost:a"]);
    // A new claim of the same name is another claim.
    let mut world = World::new();
    world.put::<PersistentVolume>(volume(
        "a",
        "1Gi",
        json!({"claimRef": {"name": "x", "namespace": "n", "uid": "old"}}),
    ));
    world.put::<PersistentVolumeClaim>(claim("x", "1Gi", json!({})));
    while round(&mut world) {}
    assert_eq!(phases(&world), ["a:Released:x", "x:Pending:"]);
}

#[test]
fn says_why_it_waits() {
    let check = |objects: &[Value], class: &str, expected: &str| {
        let mut world = World::new();
        for object in objects {
            world.put::<StorageClass>(object.clone());
        }
        world.put::<PersistentVolumeClaim>(claim("x", "1Gi", json!({"storageClassName": class})));
        let plan = plan_of_claim(&world, &world.get("n", "x").unwrap());
        assert_eq!(plan.notes[0].text, expected);
    };
    check(&[], "", "no persistent volumes available for this claim and no storage class is set");
    check(&[], "gone", "storageclass.storage.k8s.io \"gone\" not found");
    check(&[class("WaitForFirstConsumer")], "manual", "waiting for first consumer to be created before binding");
    check(&[class("Immediate")], "manual", "no volume plugin matched name: kubernetes.io/no-provisioner");
}
