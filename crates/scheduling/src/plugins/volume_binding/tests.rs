use serde_json::{Value, json};

use super::*;
use crate::testing::{Probe, cluster, pod_from, waiting as queued};

fn nodes() -> Cluster {
    let node = |zone: &str| json!({"metadata": {"labels": {"zone": zone}}});
    cluster(&[node("a"), node("b")])
}

/// `want`: for each node `.` it fits, `u` unreachable, `n` nothing to bind, `b` both, `s` no space, `m` no such volume.
#[track_caller]
fn check(cluster: &Cluster, want: &str) {
    let pod = pod_from(json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}));
    let mut probe = Probe::new(VolumeBinding::default(), &pod);
    let letter = |why: Option<&str>| match why {
        None => '.',
        Some(UNREACHABLE) => 'u',
        Some(NO_MATCH) => 'n',
        Some(NO_SPACE) => 's',
        Some(_) => 'm',
    };
    assert_eq!(probe.verdicts(cluster).into_iter().map(letter).collect::<String>(), want);
}

fn claim(cluster: &mut Cluster, more: Value) {
    let mut claim = json!({"metadata": {"namespace": "default", "name": "c", "uid": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "5Gi"}}}});
    for (field, value) in more.as_object().unwrap() {
        match claim[field].as_object_mut() {
            Some(old) => old.extend(value.as_object().unwrap().clone()),
            None => claim[field] = value.clone(),
        }
    }
    cluster.storage_mut().set_claim(&serde_json::from_value(claim).unwrap());
}

fn volume(cluster: &mut Cluster, name: &str, zone: Option<&str>, more: Value) {
    let mut volume = json!({"metadata": {"name": name}, "status": {"phase": "Available"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "capacity": {"storage": "10Gi"}}});
    if let Some(zone) = zone {
        volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] =
            json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]);
    }
    volume["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cluster.storage_mut().set_volume(&serde_json::from_value(volume).unwrap());
}

fn class(cluster: &mut Cluster, provisioner: &str, more: Value) {
    let mut class =
        json!({"metadata": {"name": "local"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
    class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cluster.storage_mut().set_class(&serde_json::from_value(class).unwrap());
}

fn bound() -> Value {
    json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "v"}})
}

#[test]
fn bound_claims_go_where_their_volume_is() {
    let mut cluster = nodes();
    claim(&mut cluster, bound());
    check(&cluster, "mm");
    volume(&mut cluster, "v", Some("b"), json!({}));
    check(&cluster, "u.");
    volume(&mut cluster, "v", None, json!({}));
    check(&cluster, "..");
}

#[test]
fn the_first_consumer_gets_a_volume_that_it_can_reach() {
    let mut cluster = nodes();
    claim(&mut cluster, json!({}));
    class(&mut cluster, "kubernetes.io/no-provisioner", json!({}));
    check(&cluster, "nn");
    volume(&mut cluster, "v", Some("b"), json!({}));
    check(&cluster, "n.");
    for unfit in [
        json!({"capacity": {"storage": "1Gi"}}),
        json!({"storageClassName": "other"}),
        json!({"accessModes": ["ReadOnlyMany"]}),
        json!({"volumeMode": "Block"}),
        json!({"claimRef": {"namespace": "default", "name": "other", "uid": "x"}}),
    ] {
        volume(&mut cluster, "v", Some("b"), unfit);
        check(&cluster, "nn");
    }
    // Reserved for this claim by whoever made it.
    let reserved = json!({"claimRef": {"namespace": "default", "name": "c"}, "storageClassName": "other"});
    volume(&mut cluster, "v", Some("b"), reserved);
    check(&cluster, "n.");
    claim(&mut cluster, json!({"spec": {"selector": {"matchLabels": {"disk": "fast"}}}}));
    volume(&mut cluster, "v", Some("b"), json!({}));
    check(&cluster, "nn");
}

#[test]
fn volumes_can_be_made_where_the_class_allows() {
    let mut cluster = nodes();
    claim(&mut cluster, json!({}));
    class(&mut cluster, "csi.example.com", json!({}));
    check(&cluster, "..");
    let zones = json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]});
    class(&mut cluster, "csi.example.com", zones);
    check(&cluster, ".n");
    class(&mut cluster, "csi.example.com", json!({}));
    let driver = json!({"metadata": {"name": "csi.example.com"}, "spec": {"storageCapacity": true}});
    cluster.storage_mut().set_driver(&serde_json::from_value(driver).unwrap());
    check(&cluster, "ss");
    let capacity = |size: &str| {
        json!({"metadata": {"namespace": "kube-system", "name": "x"}, "storageClassName": "local", "capacity": size,
            "nodeTopology": {"matchLabels": {"zone": "b"}}})
    };
    cluster.storage_mut().set_capacity(&serde_json::from_value(capacity("10Gi")).unwrap());
    check(&cluster, "s.");
    cluster.storage_mut().set_capacity(&serde_json::from_value(capacity("1Gi")).unwrap());
    check(&cluster, "ss");
}

#[test]
fn what_is_decided_counts_until_it_is_forgotten() {
    let mut cluster = nodes();
    class(&mut cluster, "kubernetes.io/no-provisioner", json!({}));
    claim(&mut cluster, json!({}));
    volume(&mut cluster, "large", None, json!({"capacity": {"storage": "90Gi"}}));
    volume(&mut cluster, "small", None, json!({"capacity": {"storage": "5Gi"}}));
    let pod =
        queued(&pod_from(json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}})));
    let plan = |cluster: &Cluster| VolumeBinding::default().reserve(pod.to_plugins(), cluster.node(cluster.live()[0]));
    let work = plan(&cluster).unwrap();
    assert_eq!(&*work.bind[0].0, "small");
    // Another claim takes it first.
    let others = VolumeWork { bind: vec![("small".into(), ("default".into(), "other".into()))], provision: vec![] };
    cluster.storage_mut().assume(&others, &"n0".into());
    assert_eq!(&*plan(&cluster).unwrap().bind[0].0, "large");
    cluster.storage_mut().forget(&others);
    assert_eq!(&*plan(&cluster).unwrap().bind[0].0, "small");

    // A volume that is being made for one node cannot be used on another.
    class(&mut cluster, "csi.example.com", json!({}));
    let making = VolumeWork { bind: vec![], provision: vec![("default".into(), "c".into())] };
    cluster.storage_mut().assume(&making, &"n1".into());
    check(&cluster, "n.");
}

#[test]
fn claims_that_cannot_be_used_at_all() {
    let ask = |cluster: &Cluster, ephemeral: bool| {
        let source = if ephemeral {
            json!({"name": "v", "ephemeral": {}})
        } else {
            json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}})
        };
        let pod = queued(&pod_from(json!({"spec": {"volumes": [source]}})));
        VolumeBinding::default().pre_filter(pod.to_plugins(), cluster)
    };
    let reject = |why: &'static str| PreFilter::Reject(why.into());
    let mut cluster = nodes();
    assert_eq!(ask(&cluster, false), reject("persistentvolumeclaim \"c\" not found"));
    let coming = "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v\"";
    assert_eq!(ask(&cluster, true), reject(coming));
    claim(&mut cluster, json!({}));
    assert_eq!(ask(&cluster, false), reject("pod has unbound immediate PersistentVolumeClaims"));
    class(&mut cluster, "x", json!({}));
    assert_eq!(ask(&cluster, false), PreFilter::Continue);
    claim(&mut cluster, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert_eq!(ask(&cluster, false), reject("persistentvolumeclaim \"c\" is being deleted"));
    claim(&mut cluster, json!({"spec": {"volumeName": "gone"}, "status": {"phase": "Lost"}}));
    assert_eq!(
        ask(&cluster, false),
        reject("persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"gone\"")
    );
}
