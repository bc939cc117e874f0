//! What is peculiar to pods, and to the services in front of them.

use serde_json::{Value, json};

use crate::harness::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const POD: &str = "/api/v1/namespaces/default/pods/p";
const SERVICES: &str = "/api/v1/namespaces/default/services";

async fn with_pod() -> Api {
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, pod).await.expect(201);
    api
}

fn binding(node: &str) -> Value {
    json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}})
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once() {
    let api = with_pod().await;
    let mut on_node = api.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1").await;
    api.post(&format!("{POD}/binding"), binding("n1")).await.expect(201);
    let pod = api.get(POD).await.expect(200);
    assert_eq!(pod["spec"]["nodeName"], "n1");
    let scheduled = &pod["status"]["conditions"][0];
    assert_eq!((&scheduled["type"], &scheduled["status"]), (&json!("PodScheduled"), &json!("True")));
    assert_eq!(on_node.brief().await, ("ADDED".to_owned(), "p".to_owned()));
    let again = api.post(&format!("{POD}/binding"), binding("n2")).await.expect(409);
    assert!(again["message"].as_str().unwrap().contains("pod p is already assigned to node \"n1\""), "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_gets_its_grace() {
    let api = with_pod().await;
    api.post(&format!("{POD}/binding"), binding("n1")).await.expect(201);
    let marked = api.delete(POD, Value::Null).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    let shorter = api.delete(POD, json!({"gracePeriodSeconds": 5})).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-01-02T03:04:10Z");
    let longer = api.delete(POD, json!({"gracePeriodSeconds": 60})).await.expect(200);
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    let gone = api.delete(POD, json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(gone["metadata"]["name"], "p");
    api.get(POD).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn an_unscheduled_pod_goes_at_once() {
    let api = with_pod().await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let evicted = api.post(&format!("{POD}/eviction"), eviction).await.expect(201);
    assert_eq!(evicted["status"], "Success");
    api.get(POD).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn services_claim_in_their_own_transaction() {
    let api = Api::start().await;
    let service = |name: &str, more: Value| {
        let mut body = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
        for (key, value) in more.as_object().unwrap() {
            body["spec"][key] = value.clone();
        }
        api.post(SERVICES, body)
    };
    let first = service("a", json!({})).await.expect(201);
    let address = first["spec"]["clusterIP"].as_str().unwrap().to_owned();
    service("b", json!({"clusterIP": address})).await.expect(422);
    let path = format!("/apis/networking.k8s.io/v1/ipaddresses/{address}");
    assert_eq!(api.get(&path).await.expect(200)["spec"]["parentRef"]["name"], "a");
    api.delete(&format!("{SERVICES}/a"), Value::Null).await.expect(200);
    api.get(&path).await.expect(404);
    service("b", json!({"clusterIP": address, "type": "NodePort"})).await.expect(201);
}
