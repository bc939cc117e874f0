use std::collections::BTreeSet;

use api_types::{k8s_openapi::api::discovery::v1::Endpoint, object::Object, plan::Plan};
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn service(changes: Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "s", "namespace": "n", "uid": "s-uid", "labels": {"team": "t"}},
        "spec": {
            "selector": {"app": "a"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

fn pod(number: usize, changes: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": format!("p{number:04}"), "namespace": "n", "uid": format!("u{number}"), "labels": {"app": "a"}},
        "spec": {"nodeName": "node", "containers": [
            {"ports": [{"name": "web", "containerPort": 8080 + number / 1000, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", number / 250, number % 250),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2030-01-01T00:00:00Z"}]},
    });
    for (part, fields) in changes.as_object().unwrap() {
        for (key, value) in fields.as_object().unwrap() {
            pod[part][key] = value.clone();
        }
    }
    pod
}

fn node(name: &str) -> Option<Arc<Node>> {
    let node = json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "z"}}});
    (name == "node").then(|| Arc::new(serde_json::from_value(node).unwrap()))
}

fn plan(world: &World) -> Plan {
    let service = world.get::<Service>("n", "s").unwrap();
    let (pods, slices) = (world.all::<Pod>(), world.all::<EndpointSlice>());
    reconcile(&Observed { service: &service, pods: &pods, node: &node, slices: &slices })
}

fn round(world: &mut World) -> bool {
    let plan = plan(world);
    // A failure is tried again in the next round.
    let _ = world.run(&plan);
    !plan.is_empty()
}

fn endpoints(world: &World) -> Vec<Endpoint> {
    world.all::<EndpointSlice>().iter().flat_map(|slice| slice.endpoints.clone().unwrap_or_default()).collect()
}

fn addresses(world: &World) -> BTreeSet<String> {
    endpoints(world).iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
}

fn only(changes: Value, of_pod: Value) -> Endpoint {
    let mut world = World::new();
    world.put::<Service>(service(changes));
    world.put::<Pod>(pod(1, of_pod));
    round(&mut world);
    endpoints(&world).pop().expect("one endpoint")
}

#[test]
fn converges_from_anywhere() {
    for (before, after) in [(0, 0), (0, 3), (3, 0), (5, 250), (250, 120), (100, 101)] {
        let mut start = World::new();
        start.put::<Service>(service(json!({})));
        for number in 0..before {
            start.put::<Pod>(pod(number, json!({})));
        }
        round(&mut start);
        for number in after..before {
            start.remove::<Pod>("n", &format!("p{number:04}"));
        }
        for number in before..after {
            start.put::<Pod>(pod(number, json!({})));
        }
        start.writes = 0;
        converges(&start, 5, round, |world| {
            assert_eq!(addresses(world).len(), after);
            assert_eq!(endpoints(world).len(), after, "no address twice");
            let slices = world.all::<EndpointSlice>();
            assert!(slices.iter().all(|slice| slice.endpoints.as_ref().map_or(0, Vec::len) <= PER_SLICE));
            assert!(!slices.is_empty(), "a service always has a slice");
        });
    }
}

#[test]
fn a_change_of_one_pod_touches_one_slice() {
    let mut world = World::new();
    world.put::<Service>(service(json!({})));
    for number in 0..300 {
        world.put::<Pod>(pod(number, json!({})));
    }
    round(&mut world);
    assert_eq!(world.all::<EndpointSlice>().len(), 3);
    world.change::<Pod>("n", "p0150", |pod| pod["status"]["conditions"][0]["status"] = json!("False"));
    assert_eq!(plan(&world).writes().count(), 1);
    round(&mut world);
    world.remove::<Pod>("n", "p0007");
    world.put::<Pod>(pod(301, json!({})));
    let swap = plan(&world);
    assert_eq!(swap.writes().count(), 1, "the new one takes the place of the old one: {swap:?}");
}

#[test]
fn conditions() {
    let check = |spec: Value, pod: Value, expected: (bool, bool, bool)| {
        let conditions = only(spec.clone(), pod.clone()).conditions.unwrap();
        let found = (conditions.ready.unwrap(), conditions.serving.unwrap(), conditions.terminating.unwrap());
        assert_eq!(found, expected, "{spec} {pod}");
    };
    let unready = json!({"status": {"conditions": []}});
    let leaving = json!({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}});
    check(json!({}), json!({}), (true, true, false));
    check(json!({}), unready.clone(), (false, false, false));
    check(json!({}), leaving, (false, true, true));
    check(json!({"publishNotReadyAddresses": true}), unready, (true, false, false));
}

#[test]
fn what_an_endpoint_says() {
    let headless = json!({"clusterIP": "None"});
    let endpoint = only(headless, json!({"spec": {"hostname": "h", "subdomain": "s"}}));
    assert_eq!(endpoint.hostname.as_deref(), Some("h"));
    assert_eq!(endpoint.node_name.as_deref(), Some("node"));
    assert_eq!(endpoint.zone.as_deref(), Some("z"));
    assert_eq!(endpoint.target_ref.unwrap().name.as_deref(), Some("p0001"));
    let hints = only(json!({"trafficDistribution": "PreferClose"}), json!({})).hints.unwrap();
    assert_eq!(hints.for_zones.unwrap()[0].name, "z");
}

#[test]
fn pods_whose_named_port_differs_share_no_slice() {
    let mut world = World::new();
    world.put::<Service>(service(json!({})));
    world.put::<Pod>(pod(1, json!({})));
    world.put::<Pod>(pod(1001, json!({})));
    round(&mut world);
    let slices = world.all::<EndpointSlice>();
    let ports: BTreeSet<i32> = slices.iter().map(|slice| slice.ports.as_ref().unwrap()[0].port.unwrap()).collect();
    assert_eq!(ports, BTreeSet::from([8080, 8081]));
}

#[test]
fn who_is_no_endpoint() {
    let check = |pod_changes: Value| {
        let mut world = World::new();
        world.put::<Service>(service(json!({})));
        world.put::<Pod>(pod(1, pod_changes.clone()));
        round(&mut world);
        assert_eq!(endpoints(&world).len(), 0, "{pod_changes}");
        assert_eq!(world.all::<EndpointSlice>().len(), 1, "the placeholder");
    };
    check(json!({"status": {"phase": "Succeeded"}}));
    check(json!({"status": {"podIP": ""}}));
    check(json!({"spec": {"nodeName": "gone"}}));
}

#[test]
fn labels_and_trigger_time() {
    let mut world = World::new();
    world.put::<Service>(service(json!({"clusterIP": "None"})));
    world.put::<Pod>(pod(1, json!({})));
    round(&mut world);
    let slice = world.all::<EndpointSlice>().pop().unwrap();
    let labels = slice.metadata.labels.clone().unwrap();
    assert_eq!(labels[SERVICE_NAME], "s");
    assert_eq!(labels[MANAGED_BY], MANAGER);
    assert_eq!(labels["team"], "t");
    assert!(labels.contains_key(HEADLESS));
    assert!(slice.name().starts_with("s-"));
    let trigger = &slice.metadata.annotations.as_ref().unwrap()["endpoints.kubernetes.io/last-change-trigger-time"];
    assert_eq!(trigger, "2030-01-01T00:00:00Z");
}

#[test]
fn both_families() {
    let mut world = World::new();
    world.put::<Service>(service(json!({"ipFamilies": ["IPv4", "IPv6"]})));
    let both = json!({"status": {"podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]}});
    world.put::<Pod>(pod(1, both));
    round(&mut world);
    let families: BTreeSet<_> = world.all::<EndpointSlice>().iter().map(|slice| slice.address_type.clone()).collect();
    assert_eq!(families, BTreeSet::from(["IPv4".to_owned(), "IPv6".to_owned()]));
    world.change::<Service>("n", "s", |service| service["spec"]["ipFamilies"] = json!(["IPv4"]));
    round(&mut world);
    assert_eq!(addresses(&world), BTreeSet::from(["10.1.0.1".to_owned()]));
}
