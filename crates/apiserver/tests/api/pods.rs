//! What is peculiar to pods, and to the services in front of them.

use serde_json::{Value, json};
use store::{Backend, memory::Memory};

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
    let meant = json!({"status": {"nominatedNodeName": "n3"}});
    let meant = api.patch(&format!("{POD}/status"), "merge", meant).await.expect(200);
    assert_eq!(meant["status"]["nominatedNodeName"], "n3");
    api.post(&format!("{POD}/binding"), binding("n1")).await.expect(201);
    let pod = api.get(POD).await.expect(200);
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(pod["status"]["nominatedNodeName"], Value::Null, "it has its place");
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

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A running pod with the label `a=b`, ready or not.
async fn running(api: &Api, name: &str, ready: bool) {
    let pod = json!({"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, pod).await.expect(201);
    api.post(
        &format!("{PODS}/{name}/binding"),
        json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}),
    )
    .await
    .expect(201);
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    api.patch(&format!("{PODS}/{name}/status"), "merge", status).await.expect(200);
}

/// A budget for these pods, as its controller would leave it.
async fn budget(api: &Api, name: &str, allowed: i32) {
    let budget =
        json!({"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    api.post(BUDGETS, budget).await.expect(201);
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1 + allowed,
        "desiredHealthy": 1, "expectedPods": 2}});
    api.patch(&format!("{BUDGETS}/{name}/status"), "merge", status).await.expect(200);
}

async fn evict(api: &Api, name: &str, options: Value) -> crate::harness::Answer {
    let body =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options});
    api.post(&format!("{PODS}/{name}/eviction"), body).await
}

#[tokio::test(start_paused = true)]
async fn a_budget_lets_so_many_go() {
    let api = Api::start().await;
    budget(&api, "b", 1).await;
    for name in ["p1", "p2"] {
        running(&api, name, true).await;
    }
    evict(&api, "p1", json!({"dryRun": ["All"]})).await.expect(201);
    assert_eq!(api.get(&format!("{BUDGETS}/b")).await.expect(200)["status"]["disruptionsAllowed"], 1);
    evict(&api, "p1", Value::Null).await.expect(201);
    let pod = api.get(&format!("{PODS}/p1")).await.expect(200);
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let marked = conditions.iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&marked["status"], &marked["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
    let status = &api.get(&format!("{BUDGETS}/b")).await.expect(200)["status"];
    assert_eq!(
        (&status["disruptionsAllowed"], &status["conditions"][0]["reason"]),
        (&json!(0), &json!("InsufficientPods"))
    );
    assert!(status["disruptedPods"]["p1"].is_string());
    let refused = evict(&api, "p2", Value::Null).await.expect(429);
    assert_eq!(refused["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert!(api.get(&format!("{PODS}/p2")).await.expect(200)["metadata"].get("deletionTimestamp").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_ready_is_not_counted() {
    let api = Api::start().await;
    budget(&api, "b", 0).await;
    running(&api, "p", false).await;
    evict(&api, "p", Value::Null).await.expect(201);
    assert_eq!(api.get(&format!("{BUDGETS}/b")).await.expect(200)["status"].get("disruptedPods"), None);
}

#[tokio::test(start_paused = true)]
async fn two_budgets_are_one_too_many() {
    let api = Api::start().await;
    budget(&api, "b1", 1).await;
    budget(&api, "b2", 1).await;
    running(&api, "p", true).await;
    let refused = evict(&api, "p", Value::Null).await.expect(500);
    assert_eq!(
        refused["message"],
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_selects_by_its_own_uid() {
    let api = Api::start().await;
    let job = json!({"metadata": {"generateName": "j-"}, "spec": {"template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "i"}]}}}});
    let job = api.post("/apis/batch/v1/namespaces/default/jobs", job).await.expect(201);
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["batch.kubernetes.io/job-name"], job["metadata"]["name"]);
    assert_eq!(labels["batch.kubernetes.io/controller-uid"], job["metadata"]["uid"]);
    let path = "/apis/batch/v1/namespaces/default/jobs?fieldSelector=status.successful%3D";
    assert_eq!(api.get(&format!("{path}0")).await.expect(200)["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.get(&format!("{path}1")).await.expect(200)["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn autoscalers_are_one_in_two_versions() {
    let api = Api::start().await;
    let path = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let given = json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50}});
    let v1 = api.post(&path("v1"), given).await.expect(201);
    assert_eq!(
        (&v1["apiVersion"], &v1["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(50))
    );
    let v2 = api.get(&format!("{}/h", path("v2"))).await.expect(200);
    assert_eq!(v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    let behavior = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}});
    api.patch(&format!("{}/h", path("v2")), "merge", behavior).await.expect(200);
    let grown = json!({"spec": {"maxReplicas": 5}});
    api.patch(&format!("{}/h", path("v1")), "merge", grown).await.expect(200);
    let v2 = api.get(&format!("{}/h", path("v2"))).await.expect(200);
    assert_eq!(v2["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 60);
    assert_eq!((&v2["spec"]["maxReplicas"], v2["metadata"].get("annotations")), (&json!(5), None));
}

#[tokio::test(start_paused = true)]
async fn proxies_lead_to_pods_only() {
    let api = with_pod().await;
    let refused = api.get(&format!("{POD}/proxy/x")).await.expect(400);
    assert_eq!(refused["message"], "address not allowed");
    assert_eq!(
        api.get(&format!("{PODS}/ftp:p:21/proxy/x")).await.expect(400)["message"],
        "invalid pod request \"ftp:p:21\""
    );
    assert_eq!(api.get(&format!("{POD}/proxy?a=b")).await.headers["location"], format!("{POD}/proxy/?a=b"));
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    api.post(SERVICES, service).await.expect(201);
    let endpoints =
        json!({"metadata": {"name": "s"}, "subsets": [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 80}]}]});
    api.post("/api/v1/namespaces/default/endpoints", endpoints).await.expect(201);
    let refused = api.get(&format!("{SERVICES}/s:80/proxy/")).await.expect(503);
    assert_eq!(refused["message"], "no endpoints available for service \"s:80\"");
    let refused = api.get(&format!("{SERVICES}/s:81/proxy/")).await.expect(503);
    assert_eq!(refused["message"], "no service port 81 found for service \"s\"");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_it_is_finalized() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await.expect(201);
    let mut namespace = api.delete("/api/v1/namespaces/n", Value::Null).await.expect(200);
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let active = json!({"status": {"phase": "Active"}});
    let refused = api.patch("/api/v1/namespaces/n/status", "merge", active).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("may only be 'Terminating' if `deletionTimestamp` is not empty")
    );
    namespace["spec"]["finalizers"] = json!(["mine"]);
    let refused = api.put("/api/v1/namespaces/n/finalize", &namespace).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("name is neither a standard finalizer name"), "{refused}");
    namespace["spec"]["finalizers"] = json!([]);
    api.put("/api/v1/namespaces/n/finalize", &namespace).await.expect(200);
    api.get("/api/v1/namespaces/n").await.expect(404);
}

/// Older servers stored the first version; it is read, and is of the second from its next write on.
#[tokio::test(start_paused = true)]
async fn autoscalers_of_old_are_read() {
    let stored = Memory::new();
    let object = r#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1","metadata":{"name":"h","namespace":"default","uid":"u"},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"minReplicas":1,"maxReplicas":3,"targetCPUUtilizationPercentage":50}}"#;
    let write = store::Write::put("/registry/horizontalpodautoscalers/default/h", object);
    stored.commit(store::Transaction { checks: vec![], writes: vec![write] }).await.unwrap();
    let api = Api::start_on(stored).await;
    let path = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/h");
    let v2 = api.get(&path("v2")).await.expect(200);
    assert_eq!(v2["apiVersion"], "autoscaling/v2");
    assert_eq!(v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    assert_eq!(api.get(&path("v1")).await.expect(200)["spec"]["targetCPUUtilizationPercentage"], 50);
    api.patch(&path("v2"), "merge", json!({"spec": {"maxReplicas": 4}})).await.expect(200);
    assert_eq!(api.get(&path("v1")).await.expect(200)["spec"]["maxReplicas"], 4);
}
