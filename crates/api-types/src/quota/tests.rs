use serde_json::json;

use super::*;

fn core(resource: &str) -> GroupResource {
    GroupResource { group: "".into(), resource: resource.to_owned().into() }
}

fn check(resource: &str, object: Value, expected: &str) {
    let shown: Vec<String> = usage(&core(resource), &object).iter().map(|(name, q)| format!("{name}={q}")).collect();
    assert_eq!(shown.join(" "), expected, "{object}");
}

fn container(requests: Value, limits: Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
}

#[test]
fn pods() {
    let none = json!({});
    check("pods", json!({"spec": {"containers": [container(none.clone(), none.clone())]}}), "count/pods=1 pods=1");
    check("pods", json!({"status": {"phase": "Failed"}}), "count/pods=1");
    let pod = json!({"spec": {
        "containers": [
            container(json!({"cpu": "100m", "example.com/card": "1", "hugepages-2Mi": "4Mi"}), json!({"memory": "1Gi"})),
            container(json!({"cpu": "200m", "ephemeral-storage": "1Gi"}), none),
        ],
        "overhead": {"cpu": "10m", "memory": "1Mi"},
    }});
    check(
        "pods",
        pod,
        "count/pods=1 cpu=310m ephemeral-storage=1Gi hugepages-2Mi=4Mi limits.memory=1025Mi memory=1Mi pods=1 \
         requests.cpu=310m requests.ephemeral-storage=1Gi requests.example.com/card=1 requests.hugepages-2Mi=4Mi \
         requests.memory=1Mi",
    );
}

#[test]
fn init_containers_run_one_by_one_and_sidecars_beside_all() {
    let init = |cpu: &str, sidecar: bool| {
        let mut container = container(json!({"cpu": cpu}), json!({}));
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        container
    };
    let check = |inits: Value, expected: &str| {
        let pod = json!({"spec": {"containers": [container(json!({"cpu": "1"}), json!({}))], "initContainers": inits}});
        assert_eq!(usage(&core("pods"), &pod)["requests.cpu"].to_string(), expected);
    };
    check(json!([init("500m", false)]), "1");
    check(json!([init("3", false), init("2", false)]), "3");
    check(json!([init("1", true), init("3", false)]), "4");
    check(json!([init("3", false), init("1", true)]), "3");
    check(json!([init("1", true)]), "2");
}

#[test]
fn services_and_claims() {
    let service = |kind: &str, more: Value| {
        let mut spec = json!({"type": kind, "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        json!({"spec": spec})
    };
    let show = |balancers: u8, ports: u8| {
        format!("count/services=1 services=1 services.loadbalancers={balancers} services.nodeports={ports}")
    };
    check("services", service("ClusterIP", json!({})), &show(0, 0));
    check("services", service("NodePort", json!({})), &show(0, 2));
    check("services", service("LoadBalancer", json!({})), &show(1, 2));
    check("services", service("LoadBalancer", json!({"allocateLoadBalancerNodePorts": false})), &show(1, 1));
    let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}});
    check(
        "persistentvolumeclaims",
        claim,
        "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
         fast.storageclass.storage.k8s.io/requests.storage=2Gi persistentvolumeclaims=1 requests.storage=2Gi",
    );
    check("secrets", json!({}), "count/secrets=1 secrets=1");
}

#[test]
fn names() {
    for (name, expected) in [
        ("pods", Some("pods")),
        ("limits.cpu", Some("pods")),
        ("requests.example.com/card", Some("pods")),
        ("requests.kubernetes.io/x", None),
        ("hugepages-1Gi", Some("pods")),
        ("count/deployments.apps", Some("deployments.apps")),
        ("count/widgets.shop.example.com", Some("widgets.shop.example.com")),
        ("services.nodeports", Some("services")),
        ("a.storageclass.storage.k8s.io/requests.storage", Some("persistentvolumeclaims")),
        ("secrets", Some("secrets")),
        ("nonsense", None),
    ] {
        assert_eq!(resource_of(name).map(|resource| resource.to_string()).as_deref(), expected, "{name}");
    }
}

#[test]
fn scopes() {
    let check = |spec: Value, pod: Value, expected: bool| {
        assert_eq!(matches(&spec, &core("pods"), &json!({"spec": pod})), expected, "{spec} {pod}");
    };
    let busy = json!({"containers": [container(json!({"cpu": "1"}), json!({}))]});
    check(json!({}), json!({}), true);
    check(json!({"scopes": ["BestEffort"]}), json!({}), true);
    check(json!({"scopes": ["BestEffort"]}), busy.clone(), false);
    check(json!({"scopes": ["NotBestEffort", "NotTerminating"]}), busy, true);
    check(json!({"scopes": ["Terminating"]}), json!({"activeDeadlineSeconds": 5}), true);
    check(json!({"scopes": ["NotTerminating"]}), json!({"activeDeadlineSeconds": 5}), false);
    let priority = |operator: &str, values: &[&str]| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
    let high = json!({"priorityClassName": "high"});
    check(priority("In", &["high"]), high.clone(), true);
    check(priority("NotIn", &["high"]), high.clone(), false);
    check(priority("NotIn", &["high"]), json!({}), true);
    check(priority("Exists", &[]), high.clone(), true);
    check(priority("DoesNotExist", &[]), high, false);
    let affinity = json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"podAffinityTerm": {"namespaces": ["other"]}}]}}});
    check(json!({"scopes": ["CrossNamespacePodAffinity"]}), affinity, true);
    check(json!({"scopes": ["CrossNamespacePodAffinity"]}), json!({}), false);
    assert!(!matches(&json!({"scopes": ["BestEffort"]}), &core("services"), &json!({})));
}

#[test]
fn what_containers_do_not_say() {
    let pod = json!({"spec": {"containers": [
        {"name": "b", "resources": {"requests": {"cpu": "1"}}},
        {"name": "a", "resources": {"limits": {"memory": "1"}, "requests": {"memory": "1"}}},
    ]}});
    let check = |names: &[&str], expected: Option<&str>| {
        assert_eq!(missing(&pod, names.iter().copied()).as_deref(), expected);
    };
    check(&["pods", "requests.ephemeral-storage"], None);
    check(&["cpu"], Some("cpu for: a"));
    check(&["limits.cpu", "requests.memory"], Some("limits.cpu for: a,b; requests.memory for: b"));
}
