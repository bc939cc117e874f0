//! Classes: of storage, of ingress, of runtimes.

use super::*;

fn cluster(objects: &[(&'static str, &'static str, Value)]) -> Cluster {
    let mut cluster = Cluster::new();
    for (group, resource, object) in objects {
        cluster.add(group, resource, "", object.clone());
    }
    cluster
}

fn class(name: &str, created: &str, mark: &str) -> Value {
    json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {mark: "true"}}})
}

#[test]
fn claims_get_the_newest_default_class() {
    let mark = "storageclass.kubernetes.io/is-default-class";
    let classes = |names: &[(&str, &str)]| {
        let all: Vec<_> =
            names.iter().map(|(name, at)| ("storage.k8s.io", "storageclasses", class(name, at, mark))).collect();
        cluster(&all)
    };
    let check = |world: Cluster, claim: Value, wanted: Value| {
        let admitted = create("/persistentvolumeclaims").run_in(&world, &claim).unwrap();
        assert_eq!(admitted["spec"]["storageClassName"], wanted);
    };
    let two = || classes(&[("b", "2026-01-01T00:00:00Z"), ("a", "2026-01-02T00:00:00Z")]);
    check(two(), json!({"spec": {}}), json!("a"));
    check(two(), json!({"spec": {"storageClassName": ""}}), json!(""));
    let annotated = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {}});
    check(two(), annotated, Value::Null);
    check(classes(&[("b", "2026-01-01T00:00:00Z"), ("a", "2026-01-01T00:00:00Z")]), json!({"spec": {}}), json!("a"));
    check(classes(&[]), json!({"spec": {}}), Value::Null);
    let mark = "ingressclass.kubernetes.io/is-default-class";
    let world = cluster(&[("networking.k8s.io", "ingressclasses", class("nginx", "2026-01-01T00:00:00Z", mark))]);
    let admitted = create("networking.k8s.io/ingresses").run_in(&world, &json!({"spec": {}})).unwrap();
    assert_eq!(admitted["spec"]["ingressClassName"], "nginx");
}

#[test]
fn claims_grow_as_their_class_allows() {
    let world = || {
        cluster(&[
            ("storage.k8s.io", "storageclasses", json!({"metadata": {"name": "soft"}, "allowVolumeExpansion": true})),
            ("storage.k8s.io", "storageclasses", json!({"metadata": {"name": "hard"}})),
        ])
    };
    let claim = |class: &str, size: &str, phase: &str| {
        json!({"metadata": {"name": "c"}, "status": {"phase": phase},
            "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})
    };
    let check = |class: &str, phase: &str, size: &str, wanted: Option<&str>| {
        let update = create("/persistentvolumeclaims").over(claim(class, "1Gi", phase));
        let outcome = update.run_in(&world(), &claim(class, size, phase)).err();
        let wanted = wanted.map(|why| format!("persistentvolumeclaims \"c\" is forbidden: {why}"));
        assert_eq!(outcome, wanted);
    };
    let fixed = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    check("soft", "Bound", "2Gi", None);
    check("soft", "Pending", "2Gi", Some("Only bound persistent volume claims can be expanded"));
    check("soft", "Pending", "1Gi", None);
    check("hard", "Bound", "2Gi", Some(fixed));
    check("", "Bound", "2Gi", Some(fixed));
    check("none", "Bound", "2Gi", Some(fixed));
}

#[test]
fn pods_of_a_runtime_class() {
    let world = || {
        let scheduling = json!({"nodeSelector": {"sandboxed": "yes"}, "tolerations": [
            {"key": "sandbox", "operator": "Exists"},
        ]});
        let classes = [
            json!({"metadata": {"name": "plain"}, "handler": "runc"}),
            json!({"metadata": {"name": "gvisor"}, "handler": "runsc", "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": scheduling}),
        ];
        cluster(&classes.map(|class| ("node.k8s.io", "runtimeclasses", class)))
    };
    let run = |spec: Value| create("/pods").run_in(&world(), &pod(spec));
    let spec = run(json!({"runtimeClassName": "gvisor", "nodeSelector": {"disk": "ssd"}, "tolerations": [
        {"key": "sandbox", "operator": "Equal", "value": "x", "effect": "NoSchedule"}, {"key": "own", "operator": "Exists"},
    ]}))
    .unwrap()["spec"]
        .take();
    assert_eq!(spec["overhead"], json!({"cpu": "100m"}));
    assert_eq!(spec["nodeSelector"], json!({"disk": "ssd", "sandboxed": "yes"}));
    let keys: Vec<_> = spec["tolerations"].as_array().unwrap().iter().map(|t| t["key"].as_str().unwrap()).collect();
    // What the class tolerates covers the pod's own narrower wish.
    assert_eq!((keys.len(), keys.first(), keys.last()), (4, Some(&"own"), Some(&"sandbox")));
    let check = |spec: Value, why: &str| {
        let wanted = (!why.is_empty()).then(|| format!("pods \"web\" is forbidden: {why}"));
        assert_eq!(run(spec).err(), wanted);
    };
    check(json!({"runtimeClassName": "plain"}), "");
    check(json!({"runtimeClassName": "none"}), "pod rejected: RuntimeClass \"none\" not found");
    check(
        json!({"runtimeClassName": "gvisor", "overhead": {"cpu": "1"}}),
        "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
    );
    check(
        json!({"overhead": {"cpu": "1"}}),
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    );
    check(
        json!({"runtimeClassName": "gvisor", "nodeSelector": {"sandboxed": "no"}}),
        "conflict: runtimeClass.scheduling.nodeSelector[sandboxed] = yes; pod.spec.nodeSelector[sandboxed] = no",
    );
}
