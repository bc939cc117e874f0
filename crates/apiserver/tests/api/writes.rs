//! Create, update and patch.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Api, request};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/a";

fn map(data: Value) -> Value {
    json!({"metadata": {"name": "a"}, "data": data})
}

#[tokio::test(start_paused = true)]
async fn what_is_created_is_what_is_read() {
    let api = Api::start().await;
    let created = api.post(MAPS, map(json!({"x": "1"}))).await.expect(201);
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    for member in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(created["metadata"][member].is_string(), "{member}: {created}");
    }
    assert_eq!(created["metadata"]["namespace"], "default");
    assert_eq!(api.get(MAP).await.expect(200), created);
    let again = api.post(MAPS, map(json!({}))).await.expect(409);
    assert_eq!(
        (&again["reason"], &again["message"]),
        (&json!("AlreadyExists"), &json!("configmaps \"a\" already exists"))
    );
}

#[tokio::test(start_paused = true)]
async fn names_are_generated() {
    let api = Api::start().await;
    let body = json!({"metadata": {"generateName": "x-"}});
    let created = api.post(MAPS, body).await.expect(201);
    let name = created["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
}

#[tokio::test(start_paused = true)]
async fn an_update_compares_the_version_it_names() {
    let api = Api::start().await;
    let old = api.post(MAPS, map(json!({"x": "1"}))).await.expect(201);
    let mut new = old.clone();
    new["data"]["x"] = json!("2");
    let stored = api.put(MAP, &new).await.expect(200);
    assert_ne!(stored["metadata"]["resourceVersion"], old["metadata"]["resourceVersion"]);
    let conflict = api.put(MAP, &new).await.expect(409);
    assert_eq!(conflict["reason"], "Conflict");
    // Without a version it replaces whatever is there.
    api.put(MAP, &map(json!({"x": "3"}))).await.expect(200);
    let mut other = map(json!({}));
    other["metadata"]["uid"] = json!("another");
    api.put(MAP, &other).await.expect(409);
    other["metadata"] = json!({"name": "b"});
    api.put(MAP, &other).await.expect(400);
    api.put("/api/v1/namespaces/default/configmaps/b", &other).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_is_not_written() {
    let api = Api::start().await;
    let created = api.post(MAPS, map(json!({"x": "1", "y": "2"}))).await.expect(201);
    assert_eq!(api.put(MAP, &map(json!({"y": "2", "x": "1"}))).await.expect(200), created);
    assert_eq!(api.patch(MAP, "merge", json!({"data": {"x": "1"}})).await.expect(200), created);
}

#[tokio::test(start_paused = true)]
async fn three_kinds_of_patches() {
    let api = Api::start().await;
    api.post(MAPS, map(json!({"x": "1", "y": "2"}))).await.expect(201);
    let merged = api.patch(MAP, "merge", json!({"data": {"x": null, "z": "3"}})).await.expect(200);
    assert_eq!(merged["data"], json!({"y": "2", "z": "3"}));
    let pointed = json!([{"op": "test", "path": "/data/y", "value": "2"}, {"op": "remove", "path": "/data/y"}]);
    let pointed = api.patch(MAP, "json", pointed).await.expect(200);
    assert_eq!(pointed["data"], json!({"z": "3"}));
    let strategic =
        api.patch(MAP, "strategic-merge", json!({"data": {"$patch": "replace", "q": "4"}})).await.expect(200);
    assert_eq!(strategic["data"], json!({"q": "4"}));
    api.patch(MAP, "odd", json!({})).await.expect(415);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"q": "5"}});
    api.patch(MAP, "merge", stale).await.expect(409);
}

#[tokio::test(start_paused = true)]
async fn concurrent_patches_all_land() {
    let api = Api::start().await;
    api.post(MAPS, map(json!({}))).await.expect(201);
    let patch = |n: u32| api.patch(MAP, "merge", json!({"data": {n.to_string(): "x"}}));
    let answers = futures::future::join_all((0..4).map(patch)).await;
    for answer in answers {
        answer.expect(200);
    }
    assert_eq!(api.get(MAP).await.expect(200)["data"].as_object().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn dry_runs_store_nothing() {
    let api = Api::start().await;
    let path = format!("{MAPS}?dryRun=All");
    let shown = api.post(&path, map(json!({"x": "1"}))).await.expect(201);
    assert!(shown["metadata"]["uid"].is_string());
    api.get(MAP).await.expect(404);
    api.post(MAPS, map(json!({"x": "1"}))).await.expect(201);
    api.post(&path, map(json!({}))).await.expect(409);
    let patched = api.patch(&format!("{MAP}?dryRun=All"), "merge", json!({"data": {"x": "2"}})).await.expect(200);
    assert_eq!(patched["data"]["x"], "2");
    assert_eq!(api.get(MAP).await.expect(200)["data"]["x"], "1");
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_refused_reported_or_ignored() {
    let api = Api::start().await;
    let body = || json!({"metadata": {"generateName": "a-"}, "odd": 1});
    let strict = api.post(&format!("{MAPS}?fieldValidation=Strict"), body()).await.expect(400);
    assert!(strict["message"].as_str().unwrap().contains("unknown field \"odd\""), "{strict}");
    let warned = api.post(&format!("{MAPS}?fieldValidation=Warn"), body()).await;
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"odd\\\"\"");
    assert!(warned.expect(201)["odd"].is_null());
    let ignored = api.post(&format!("{MAPS}?fieldValidation=Ignore"), body()).await;
    assert!(!ignored.headers.contains_key("warning"));
    api.post(&format!("{MAPS}?fieldValidation=Odd"), body()).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn bodies_come_as_yaml_too() {
    let api = Api::start().await;
    let yaml = Bytes::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"1\"}\n");
    let send = |content_type| api.send(request("POST", MAPS, &[("content-type", content_type)], yaml.clone()));
    send("application/xml").await.expect(415);
    assert_eq!(send("application/yaml").await.expect(201)["data"], json!({"x": "1"}));
}

#[tokio::test(start_paused = true)]
async fn invalid_objects_are_told_why() {
    let api = Api::start().await;
    let answer = api.post(MAPS, json!({"metadata": {"name": "A_"}})).await.expect(422);
    assert_eq!(
        (&answer["reason"], &answer["details"]["causes"][0]["field"]),
        (&json!("Invalid"), &json!("metadata.name"))
    );
    api.post(MAPS, json!({"metadata": {"name": "a", "namespace": "other"}})).await.expect(400);
    api.post("/api/v1/namespaces/none/configmaps", json!({"metadata": {"name": "a"}})).await.expect(404);
    api.post(MAPS, json!({"kind": "Secret", "metadata": {"name": "a"}})).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn scale_changes_only_the_count() {
    let api = Api::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let body = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.post(path, body).await.expect(201);
    let mut scale = api.get(&format!("{path}/d/scale")).await.expect(200);
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!(2), &json!("a=b"))
    );
    scale["spec"]["replicas"] = json!(5);
    api.put(&format!("{path}/d/scale"), &scale).await.expect(200);
    api.put(&format!("{path}/d/scale"), &scale).await.expect(409);
    let patched = api.patch(&format!("{path}/d/scale"), "merge", json!({"spec": {"replicas": 0}})).await.expect(200);
    assert!(patched["spec"]["replicas"].is_null() || patched["spec"]["replicas"] == json!(0));
    let deployment = api.get(&format!("{path}/d")).await.expect(200);
    assert_eq!((&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]), (&json!(0), &json!(3)));
    let status = json!({"status": {"replicas": 7}, "spec": {"replicas": 9}});
    let updated = api.patch(&format!("{path}/d/status"), "merge", status).await.expect(200);
    assert_eq!((&updated["spec"]["replicas"], &updated["status"]["replicas"]), (&json!(0), &json!(7)));
}
