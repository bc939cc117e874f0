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
    // The end of the initial events, two minutes, and shortly before the end.
    for expected in [0, 60, 120, 148] {
        assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
        assert!((expected..expected + 2).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
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

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_state_marks_its_end_for_who_wants_bookmarks() {
    let api = Api::start().await;
    create(&api, "a").await;
    for query in ["watch=1&allowWatchBookmarks=true", "watch=1&allowWatchBookmarks=true&resourceVersion=0"] {
        let mut watch = api.watch(&format!("{MAPS}?{query}")).await;
        expect(&mut watch, &[("ADDED", "a")]).await;
        let bookmark = watch.next().await.unwrap();
        assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_selector_is_deleted() {
    let api = Api::start().await;
    let labelled = |value: &str| json!({"metadata": {"name": "a", "labels": {"x": value}}});
    api.post(MAPS, labelled("1")).await.expect(201);
    let mut watch = api.watch(&format!("{MAPS}?watch=1&labelSelector=x%3D1")).await;
    expect(&mut watch, &[("ADDED", "a")]).await;
    let changed = api.patch(&format!("{MAPS}/a"), "merge", labelled("2")).await.expect(200);
    let left = watch.next().await.unwrap();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["x"]), (&json!("DELETED"), &json!("1")));
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&left["object"]), version(&changed), "at the revision at which it left");
    api.patch(&format!("{MAPS}/a"), "merge", labelled("1")).await.expect(200);
    expect(&mut watch, &[("ADDED", "a")]).await;
}

#[tokio::test(start_paused = true)]
async fn the_deprecated_path_watches_one_object() {
    let api = Api::start().await;
    create(&api, "a").await;
    create(&api, "b").await;
    let mut watch = api.watch("/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1").await;
    expect(&mut watch, &[("ADDED", "b")]).await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn close_events_are_put_together_and_none_is_lost() {
    let api = Api::start().await;
    let mut watches = Vec::new();
    for _ in 0..100 {
        watches.push(api.watch(&format!("{MAPS}?watch=1")).await);
    }
    for n in 0..20 {
        create(&api, &format!("m{n:02}")).await;
    }
    for watch in &mut watches {
        for n in 0..20 {
            assert_eq!(watch.brief().await, event("ADDED", &format!("m{n:02}")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_websocket_each_event_is_a_message() {
    use futures::StreamExt;
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
    let api = Api::start().await;
    create(&api, "a").await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = format!("{MAPS}?watch=1&timeoutSeconds=5");
    let mut response = api.open(crate::harness::request("GET", &path, &headers, bytes::Bytes::new())).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let connection = hyper::upgrade::on(&mut response).await.unwrap();
    let connection = hyper_util::rt::TokioIo::new(connection);
    let mut socket = WebSocketStream::from_raw_socket(connection, Role::Client, None).await;
    create(&api, "b").await;
    for name in ["a", "b"] {
        let message = socket.next().await.unwrap().unwrap();
        let read: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        assert_eq!((&read["type"], &read["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
    }
    assert!(socket.next().await.unwrap().unwrap().is_close(), "its time was up");
}
