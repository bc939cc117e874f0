//! Get and list: forms, selectors, pages, errors.

use serde_json::{Value, json};

use crate::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn with_maps(names: &[&str]) -> Api {
    let api = Api::start().await;
    for name in names {
        let labels = json!({"name": name});
        api.post(MAPS, json!({"metadata": {"name": name, "labels": labels}})).await.expect(201);
    }
    api
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn lists_select() {
    let api = with_maps(&["a", "b", "c"]).await;
    let list = api.get(MAPS).await.expect(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(names(&list), ["a", "b", "c"]);
    assert!(list["metadata"]["resourceVersion"].is_string());
    for (query, expected) in [
        ("labelSelector=name%3Db", vec!["b"]),
        ("labelSelector=name+notin+(a,b)", vec!["c"]),
        ("fieldSelector=metadata.name%3Da", vec!["a"]),
        ("fieldSelector=metadata.namespace!=default", vec![]),
        ("resourceVersion=0", vec!["a", "b", "c"]),
    ] {
        assert_eq!(names(&api.get(&format!("{MAPS}?{query}")).await.expect(200)), expected, "{query}");
    }
    api.get(&format!("{MAPS}?fieldSelector=data%3Da")).await.expect(400);
    api.get(&format!("{MAPS}?labelSelector=a%3D%3D%3Db")).await.expect(400);
    assert_eq!(names(&api.get("/api/v1/namespaces/other/configmaps").await.expect(200)), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn pages_are_of_one_revision() {
    let api = with_maps(&["a", "b", "c", "d", "e"]).await;
    let first = api.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(3)));
    api.delete(&format!("{MAPS}/c"), Value::Null).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = api.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!((names(&last), &last["metadata"]["continue"]), (vec!["e"], &Value::Null));
    api.get(&format!("{MAPS}?continue=odd")).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn a_large_list_streams_and_is_whole() {
    let api = Api::start().await;
    let filler = "x".repeat(10_000);
    for n in 0..40 {
        let body = json!({"metadata": {"name": format!("m{n:02}")}, "data": {"x": filler}});
        api.post(MAPS, body).await.expect(201);
    }
    let answer = api.get(MAPS).await;
    assert!(!answer.headers.contains_key("content-length"));
    assert_eq!(answer.expect(200)["items"].as_array().unwrap().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn tables_and_metadata() {
    let api = with_maps(&["a", "b"]).await;
    let table = api.get_as(MAPS, TABLE).await.expect(200);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][1]["cells"][0], "b");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = api.get_as(&format!("{MAPS}/a?includeObject=Object"), TABLE).await.expect(200);
    assert_eq!((one["rows"].as_array().unwrap().len(), &one["rows"][0]["object"]["kind"]), (1, &json!("ConfigMap")));
    let metadata = api.get_as(MAPS, METADATA).await.expect(200);
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert_eq!(metadata["items"][0]["metadata"]["labels"], json!({"name": "a"}));
    assert!(metadata["items"][0].get("data").is_none());
    api.get_as(MAPS, "text/html").await.expect(406);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there() {
    let api = Api::start().await;
    let missing = api.get(&format!("{MAPS}/none")).await.expect(404);
    assert_eq!(missing["message"], "configmaps \"none\" not found");
    assert_eq!(missing["details"], json!({"name": "none", "kind": "configmaps"}));
    api.get("/api/v1/nothing").await.expect(404);
    api.get("/apis/none/v1/things").await.expect(404);
    api.get("/api/v1/namespaces/default/pods/p/odd").await.expect(404);
    api.put(MAPS, &json!({})).await.expect(405);
    api.get(&format!("{MAPS}?resourceVersion=100000")).await.expect(504);
}

#[tokio::test(start_paused = true)]
async fn two_versions_of_events_are_one() {
    let api = Api::start().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started", "message": "m", "type": "Normal", "source": {"component": "kubelet"}});
    api.post("/api/v1/namespaces/default/events", event).await.expect(201);
    let selected = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp,source%3Dkubelet";
    assert_eq!(names(&api.get(selected).await.expect(200)), ["e"]);
    let other = api.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&other["apiVersion"], &other["note"]), (&json!("events.k8s.io/v1"), &json!("m")));
    assert_eq!(other["regarding"]["name"], "p");
    let selected = "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp,regarding.kind!=Node";
    assert_eq!(names(&api.get(selected).await.expect(200)), ["e"]);
    let limited = api.get("/api/v1/events?limit=1").await.expect(200);
    assert_eq!(names(&limited), ["e"]);
}

#[tokio::test(start_paused = true)]
async fn pages_across_and_within_namespaces() {
    let api = with_maps(&["a", "b", "c"]).await;
    let all = api.get("/api/v1/configmaps?limit=1").await.expect(200);
    let token = all["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("/api/v1/configmaps?continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["b", "c"]);
    let first = api.get(&format!("{MAPS}?limit=2&labelSelector=name!%3Da")).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["continue"]), (vec!["b", "c"], &Value::Null));
    let first = api.get(&format!("{MAPS}?limit=1&labelSelector=name!%3Dz")).await.expect(200);
    assert!(first["metadata"]["continue"].is_string());
    assert!(first["metadata"]["remainingItemCount"].is_null(), "unknown under a selector");
    let elsewhere = first["metadata"]["continue"].as_str().unwrap();
    let other = api.get(&format!("/api/v1/namespaces/zzz/configmaps?continue={elsewhere}")).await.expect(200);
    assert_eq!(names(&other), Vec::<&str>::new(), "a token does not lead out of the namespace");
}

#[tokio::test(start_paused = true)]
async fn options_that_do_not_go_together() {
    let api = with_maps(&["a"]).await;
    for (query, code, message) in [
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("limit=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("resourceVersion=x", 400, "invalid resource version"),
        ("continue=eA", 400, "invalid continue token: continue key is not valid"),
        (
            "fieldSelector=data%3Dx",
            400,
            "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        ("watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan", 422, "forbidden for watch unless"),
    ] {
        let status = api.get(&format!("{MAPS}?{query}")).await.expect(code);
        assert!(status["message"].as_str().unwrap().contains(message), "{query}: {status}");
    }
    let status = api.get("/api/v1/pods?fieldSelector=spec.odd%3Dx").await.expect(400);
    assert_eq!(status["message"], "field label not supported: spec.odd");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_not_one_objects_metadata() {
    let api = with_maps(&["a"]).await;
    let one = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let status = api.get_as(MAPS, one).await.expect(406);
    assert_eq!(
        status["message"],
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    );
    api.get_as(&format!("{MAPS}/a"), METADATA).await.expect(406);
    let beta = "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io";
    let beta = api.get_as(&format!("{MAPS}/a"), beta).await.expect(200);
    assert_eq!(beta["apiVersion"], "meta.k8s.io/v1beta1");
}

async fn text(api: &Api, path: &str, headers: &[(&str, &str)]) -> (http::HeaderMap, Vec<u8>) {
    use http_body_util::BodyExt;
    let response = api.open(crate::harness::request("GET", path, headers, bytes::Bytes::new())).await;
    let (parts, body) = response.into_parts();
    (parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test(start_paused = true)]
async fn every_form_says_the_same() {
    use std::io::Read;
    let api = Api::start().await;
    let filler = "x\n".repeat(5_000);
    for n in 0..30 {
        let body = json!({"metadata": {"name": format!("m{n:02}")}, "data": {"x": filler}});
        api.post(MAPS, body).await.expect(201);
    }
    for (query, compressed) in [("?limit=2", false), ("", true), ("?limit=29", true)] {
        let path = format!("{MAPS}{query}");
        let plain = api.get(&path).await.expect(200);
        let curl = [("user-agent", "curl/8")];
        let (_, pretty) = text(&api, &path, &curl).await;
        assert_eq!(String::from_utf8(pretty).unwrap(), serde_json::to_string_pretty(&plain).unwrap());
        let (headers, yaml) = text(&api, &path, &[("accept", "application/yaml")]).await;
        assert_eq!(headers["content-type"], "application/yaml");
        let yaml: Value = serde_saphyr::from_str(std::str::from_utf8(&yaml).unwrap()).unwrap();
        assert_eq!(yaml, plain);
        let (headers, packed) = text(&api, &path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(headers.contains_key("content-encoding"), compressed, "{query}");
        let mut read = packed.clone();
        if compressed {
            read.clear();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        }
        assert_eq!(serde_json::from_slice::<Value>(&read).unwrap(), plain);
    }
    let (_, error) = text(&api, &format!("{MAPS}/none"), &[("accept", "application/yaml")]).await;
    assert!(String::from_utf8(error).unwrap().contains("reason: NotFound"));
}
