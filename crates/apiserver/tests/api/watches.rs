//! Watches: where they begin, what they say, how they end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Api, Watch};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn create(api: &Api, name: &str) -> Value {
    api.post(MAPS, json!({"metadata": {"name": name}})).await.expect(201)
}

fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

async fn expect(watch: &mut Watch, expected: &[(&str, &str)]) {
    for (kind, name) in expected {
        assert_eq!(watch.brief().await, event(kind, name));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_and_its_watch_miss_nothing() {
    let api = Api::start().await;
    create(&api, "a").await;
    let list = api.get(MAPS).await.expect(200);
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    create(&api, "b").await;
    api.patch(&format!("{MAPS}/a"), "merge", json!({"data": {"x": "1"}})).await.expect(200);
    let mut watch = api.watch(&format!("{MAPS}?watch=true&resourceVersion={version}")).await;
    expect(&mut watch, &[("ADDED", "b"), ("MODIFIED", "a")]).await;
    api.delete(&format!("{MAPS}/b"), Value::Null).await.expect(200);
    let deleted = watch.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(&deleted["object"]) > version(&list), "a deletion carries its own revision");
}

#[tokio::test(start_paused = true)]
async fn without_a_version_it_begins_with_the_state() {
    let api = Api::start().await;
    create(&api, "a").await;
    let mut watch = api.watch(&format!("{MAPS}?watch=1")).await;
    create(&api, "b").await;
    expect(&mut watch, &[("ADDED", "a"), ("ADDED", "b")]).await;
}

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_a_bookmark() {
    let api = Api::start().await;
    create(&api, "a").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = api.watch(&format!("{MAPS}?{query}")).await;
    expect(&mut watch, &[("ADDED", "a")]).await;
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    api.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await.expect(422);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute_and_time_ends_it() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=150")).await;
    let started = tokio::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
    }
    assert_eq!(watch.next().await, None);
    assert!((149..152).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_is_said_so() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1")).await;
    assert_eq!(watch.next().await, None);
    let mut lost = api.watch("/api/v1/namespaces?watch=1&resourceVersion=0&timeoutSeconds=1").await;
    assert_eq!(lost.brief().await, event("ADDED", "default"));
}

#[tokio::test(start_paused = true)]
async fn tables_name_their_columns_once() {
    let api = Api::start().await;
    create(&api, "a").await;
    create(&api, "b").await;
    let request = crate::harness::request(
        "GET",
        &format!("{MAPS}?watch=1&timeoutSeconds=1"),
        &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")],
        bytes::Bytes::new(),
    );
    let text = api.send(request).await.body;
    let lines: Vec<Value> = text.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["object"]["columnDefinitions"].is_array());
    assert!(lines[1]["object"]["columnDefinitions"].is_null());
    assert_eq!(lines[1]["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test(start_paused = true)]
async fn watches_end_cleanly_with_the_server() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{MAPS}?watch=1")).await;
    api.shutdown.begin();
    let end = tokio::time::timeout(Duration::from_secs(1), watch.next()).await;
    assert_eq!(end.expect("at once"), None);
}
