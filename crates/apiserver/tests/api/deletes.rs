//! Deletes: preconditions, finalizers, propagation, namespaces, collections.

use serde_json::{Value, json};

use crate::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/a";

#[tokio::test(start_paused = true)]
async fn success_names_what_went() {
    let api = Api::start().await;
    let created = api.post(MAPS, json!({"metadata": {"name": "a"}})).await.expect(201);
    api.delete(MAP, json!({"preconditions": {"uid": "another"}})).await.expect(409);
    api.delete(MAP, json!({"preconditions": {"resourceVersion": "1"}})).await.expect(409);
    api.delete(MAP, json!({"propagationPolicy": "Odd"})).await.expect(422);
    api.delete(&format!("{MAP}?dryRun=All"), Value::Null).await.expect(200);
    let uid = created["metadata"]["uid"].clone();
    let gone = api.delete(MAP, json!({"preconditions": {"uid": uid}})).await.expect(200);
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(gone["details"], json!({"name": "a", "kind": "configmaps", "uid": uid}));
    api.delete(MAP, Value::Null).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn finalizers_keep_an_object_until_the_last_is_removed() {
    let api = Api::start().await;
    api.post(MAPS, json!({"metadata": {"name": "a", "finalizers": ["x.y/z"]}})).await.expect(201);
    let marked = api.delete(MAP, Value::Null).await.expect(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = api.delete(MAP, Value::Null).await.expect(200);
    assert_eq!(again, marked, "a second delete changes nothing");
    let more = json!({"metadata": {"finalizers": ["x.y/z", "more.y/z"]}});
    api.patch(MAP, "merge", more).await.expect(422);
    api.patch(MAP, "merge", json!({"metadata": {"finalizers": null}})).await.expect(200);
    api.get(MAP).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn propagation_is_a_finalizer() {
    let api = Api::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        api.post(MAPS, json!({"metadata": {"name": "a"}})).await.expect(201);
        let marked = api.delete(&format!("{MAP}?propagationPolicy={policy}"), Value::Null).await.expect(200);
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        api.delete(MAP, json!({"propagationPolicy": "Background"})).await.expect(200);
        api.get(MAP).await.expect(404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_for_its_contents() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/t";
    api.post("/api/v1/namespaces", json!({"metadata": {"name": "t"}})).await.expect(201);
    let marked = api.delete(path, Value::Null).await.expect(200);
    assert_eq!((&marked["kind"], &marked["status"]["phase"]), (&json!("Namespace"), &json!("Terminating")));
    let refused = api.post("/api/v1/namespaces/t/configmaps", json!({"metadata": {"name": "a"}})).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("because it is being terminated"), "{refused}");
    let mut finalized = marked.clone();
    finalized["spec"]["finalizers"] = json!([]);
    api.put(&format!("{path}/finalize"), &finalized).await.expect(200);
    api.get(path).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn a_collection_goes_as_selected() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(MAPS, json!({"metadata": {"name": name, "labels": {"n": name}}})).await.expect(201);
    }
    let gone = api.delete(&format!("{MAPS}?labelSelector=n+in+(a,b)"), Value::Null).await.expect(200);
    assert_eq!((&gone["kind"], gone["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 2));
    let left = api.get(MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}
