//! A client that speaks protobuf alone. Its messages are written by hand from upstream's `generated.proto`.

use std::collections::HashMap;

use api_rules::{Kind, Scope, kinds};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use serde_json::json;
use testkit::objects;

use crate::harness::{Api, request};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes, tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(message, optional, tag = "8")]
    creation_timestamp: Option<Time>,
    #[prost(map = "string, string", tag = "11")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigMap {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(map = "string, string", tag = "2")]
    data: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialObjectMetadata {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct ListMeta {
    #[prost(string, tag = "2")]
    resource_version: String,
    #[prost(string, tag = "3")]
    next: String,
    #[prost(int64, optional, tag = "4")]
    remaining_item_count: Option<i64>,
}

/// Of any list.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigMapList {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<ConfigMap>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RawExtension {
    #[prost(bytes, tag = "1")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    object: Option<RawExtension>,
}

/// What an envelope holds, which must be of this type.
#[track_caller]
fn unwrap<M: Message + Default>(body: &[u8], api_version: &str, kind: &str) -> M {
    let unknown = Unknown::decode(body.strip_prefix(MAGIC).expect("magic bytes")).unwrap();
    let expected = TypeMeta { api_version: api_version.into(), kind: kind.into() };
    assert_eq!(unknown.type_meta, Some(expected));
    M::decode(unknown.raw.as_slice()).unwrap()
}

fn wrap(api_version: &str, kind: &str, object: &impl Message) -> Bytes {
    let type_meta = Some(TypeMeta { api_version: api_version.into(), kind: kind.into() });
    [MAGIC, &Unknown { type_meta, raw: object.encode_to_vec() }.encode_to_vec()].concat().into()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let labels = HashMap::from([("app".into(), "web".into())]);
    let metadata = Some(ObjectMeta { name: name.into(), labels, ..ObjectMeta::default() });
    ConfigMap { metadata, data: HashMap::from([("k".into(), value.into())]) }
}

async fn call(api: &Api, method: &str, path: &str, body: Bytes) -> (u16, Bytes) {
    let response = api.open(request(method, path, &[("accept", PROTOBUF), ("content-type", PROTOBUF)], body)).await;
    assert_eq!(response.headers()["content-type"], PROTOBUF, "{method} {path}");
    let code = response.status().as_u16();
    (code, response.into_body().collect().await.unwrap().to_bytes())
}

const PATH: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_is_written_read_and_listed() {
    let api = Api::start().await;
    let (code, body) = call(&api, "POST", PATH, wrap("v1", "ConfigMap", &config_map("a", "1"))).await;
    assert_eq!(code, 201);
    let created: ConfigMap = unwrap(&body, "v1", "ConfigMap");
    let metadata = created.metadata.clone().unwrap();
    assert_eq!((metadata.name.as_str(), metadata.namespace.as_str()), ("a", "default"));
    assert!(!metadata.uid.is_empty() && metadata.creation_timestamp.is_some());
    let mut wanted = created.clone();
    wanted.data.insert("k".into(), "2".into());
    let (code, _) = call(&api, "PUT", &format!("{PATH}/a"), wrap("v1", "ConfigMap", &wanted)).await;
    assert_eq!(code, 200);
    for _ in 0..2 {
        // The second answer comes from the encoding kept with the object.
        let (_, body) = call(&api, "GET", &format!("{PATH}/a"), Bytes::new()).await;
        let read: ConfigMap = unwrap(&body, "v1", "ConfigMap");
        assert_eq!(read.data["k"], "2");
    }
    call(&api, "POST", PATH, wrap("v1", "ConfigMap", &config_map("b", &"x".repeat(200_000)))).await;
    let (_, body) = call(&api, "GET", PATH, Bytes::new()).await;
    let list: ConfigMapList = unwrap(&body, "v1", "ConfigMapList");
    assert!(!list.metadata.unwrap().resource_version.is_empty());
    let sizes: Vec<usize> = list.items.iter().filter_map(|item| item.data.get("k").map(String::len)).collect();
    assert_eq!(sizes, [1, 200_000]);
    let (_, body) = call(&api, "GET", &format!("{PATH}?limit=1&labelSelector=app%3Dweb"), Bytes::new()).await;
    let list: ConfigMapList = unwrap(&body, "v1", "ConfigMapList");
    assert_eq!(list.items.len(), 1);
    assert!(!list.metadata.unwrap().next.is_empty());
}

#[tokio::test]
async fn errors_and_metadata() {
    let api = Api::start().await;
    let (code, body) = call(&api, "GET", &format!("{PATH}/none"), Bytes::new()).await;
    let status: Status = unwrap(&body, "v1", "Status");
    assert_eq!((code, status.code, status.reason.as_str()), (404, 404, "NotFound"));
    assert_eq!(status.message, "configmaps \"none\" not found");
    call(&api, "POST", PATH, wrap("v1", "ConfigMap", &config_map("a", "1"))).await;
    let accept = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let response = api.open(request("GET", &format!("{PATH}/a"), &[("accept", &accept)], Bytes::new())).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let partial: PartialObjectMetadata = unwrap(&body, "meta.k8s.io/v1", "PartialObjectMetadata");
    assert_eq!(partial.metadata.unwrap().labels["app"], "web");
    let (code, body) = call(&api, "DELETE", &format!("{PATH}/a"), Bytes::new()).await;
    let status: Status = unwrap(&body, "v1", "Status");
    assert_eq!((code, status.status.as_str()), (200, "Success"));
    let (code, _) = call(&api, "POST", PATH, Bytes::from_static(b"k8s\0\xff")).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_watch_is_a_row_of_frames() {
    let api = Api::start().await;
    call(&api, "POST", PATH, wrap("v1", "ConfigMap", &config_map("a", "1"))).await;
    let path = format!(
        "{PATH}?watch=1&labelSelector=app%3Dweb&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let response =
        api.open(request("GET", &path, &[("accept", &format!("{PROTOBUF};stream=watch"))], Bytes::new())).await;
    assert_eq!(response.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
    let mut frames = Frames::of(response.into_body());
    let mut seen = Vec::new();
    for step in 0..4 {
        let event = frames.next().await;
        let object: ConfigMap = unwrap(&event.object.unwrap().raw, "v1", "ConfigMap");
        seen.push((event.kind, object.data.get("k").cloned().unwrap_or_default()));
        match step {
            1 => drop(call(&api, "PUT", &format!("{PATH}/a"), wrap("v1", "ConfigMap", &config_map("a", "2"))).await),
            2 => drop(call(&api, "DELETE", &format!("{PATH}/a"), Bytes::new()).await),
            _ => {}
        }
    }
    let seen: Vec<(&str, &str)> = seen.iter().map(|(kind, value)| (kind.as_str(), value.as_str())).collect();
    assert_eq!(seen, [("ADDED", "1"), ("BOOKMARK", ""), ("MODIFIED", "2"), ("DELETED", "2")]);
}

/// The events of a watch, each behind its length.
struct Frames {
    stream: Incoming,
    read: Vec<u8>,
}

impl Frames {
    fn of(stream: Incoming) -> Self {
        Self { stream, read: Vec::new() }
    }

    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some((length, rest)) = self.read.split_first_chunk::<4>()
                && rest.len() >= u32::from_be_bytes(*length) as usize
            {
                let end = 4 + u32::from_be_bytes(*length) as usize;
                let event = WatchEvent::decode(&self.read[4..end]).unwrap();
                self.read.drain(..end);
                return event;
            }
            self.read.extend_from_slice(&self.stream.frame().await.unwrap().unwrap().into_data().unwrap());
        }
    }

    /// The next event of this type, with an object of this kind.
    async fn expect(&mut self, wanted: &str, kind: &dyn Kind) {
        loop {
            let event = self.next().await;
            let _: Partial = unwrap(&event.object.unwrap().raw, &kind.names().api_version(), kind.names().kind);
            if event.kind == wanted {
                return;
            }
            // The server itself works on definitions and namespaces in between.
            assert_eq!(event.kind, "MODIFIED", "{wanted} of {}", kind.names().kind);
        }
    }
}

/// Any object: the first field of every kind is its metadata.
type Partial = PartialObjectMetadata;

fn collection(kind: &dyn Kind) -> String {
    let names = kind.names();
    let root = if names.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", names.group) };
    let namespace = if kind.scope() == Scope::Namespaced { "/namespaces/default" } else { "" };
    format!("{root}/{}{namespace}/{}", names.version, names.plural)
}

/// A generated object in the form that the server gives it, which this client then sends as its own.
#[tokio::test(start_paused = true)]
async fn every_kind_is_written_and_watched() {
    let api = Api::start().await;
    for kind in kinds::all().iter().filter(|k| k.storage().is_some() && k.verbs().contains(&"create")) {
        written_and_watched(&api, *kind).await;
    }
}

async fn written_and_watched(api: &Api, kind: &dyn Kind) {
    let (version, name) = (kind.names().api_version(), kind.names().kind);
    let read = |body: &[u8]| unwrap::<Partial>(body, &version, name).metadata.unwrap();
    let collection = collection(kind);
    let sent = objects::object(kind, 1, 1).expect("there is a sample of every kind");
    let path = format!("{collection}/{}", sent["metadata"]["name"].as_str().unwrap());
    let accept = [("accept", PROTOBUF), ("content-type", "application/json")];
    let ask = request("POST", &format!("{collection}?dryRun=All"), &accept, sent.to_string().into());
    let object = api.open(ask).await.into_body().collect().await.unwrap().to_bytes();
    read(&object);
    let stream = format!("{PROTOBUF};stream=watch");
    let watched = format!("{collection}?watch=1&labelSelector=seed%3D1");
    let response = api.open(request("GET", &watched, &[("accept", &stream)], Bytes::new())).await;
    let mut frames = Frames::of(response.into_body());

    let (code, body) = if name == "Job" {
        // Its labels carry the uid it is given, so nobody else's will do.
        let response = api.open(request("POST", &collection, &accept, sent.to_string().into())).await;
        (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
    } else {
        call(api, "POST", &collection, object).await
    };
    assert_eq!(code, 201, "{name}: {}", String::from_utf8_lossy(&body));
    assert_eq!(read(&body).labels["seed"], "1");
    frames.expect("ADDED", kind).await;
    let stored = api.get(&path).await.expect(200);
    let (_, object) = call(api, "GET", &path, Bytes::new()).await;
    let before = read(&object);
    let (code, body) = call(api, "PUT", &path, object).await;
    assert_eq!((code, read(&body).uid), (200, before.uid), "{name}");
    // What was read and written back is what was there.
    let written = api.get(&path).await.expect(200);
    for (member, value) in
        stored.as_object().unwrap().iter().filter(|(m, _)| !matches!(m.as_str(), "metadata" | "status"))
    {
        assert_eq!(written[member], *value, "{name}.{member}");
    }
    api.patch(&path, "merge", json!({"metadata": {"annotations": {"a": "b"}}})).await.expect(200);
    frames.expect("MODIFIED", kind).await;
    let (code, _) = call(api, "DELETE", &format!("{path}?gracePeriodSeconds=0"), Bytes::new()).await;
    assert!(matches!(code, 200 | 202), "{name}: {code}");
    let waits = kind.names().kind == "Namespace" || api.get(&path).await.code == 200;
    frames.expect(if waits { "MODIFIED" } else { "DELETED" }, kind).await;
}

#[tokio::test]
async fn every_kind_is_listed() {
    let api = Api::start().await;
    for kind in kinds::all().iter().filter(|kind| kind.storage().is_some()) {
        let names = kind.names();
        let root = if names.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", names.group) };
        let path = format!("{root}/{}/{}", names.version, names.plural);
        let (code, body) = call(&api, "GET", &path, Bytes::new()).await;
        assert_eq!(code, 200, "{path}");
        let list: List = unwrap(&body, &names.api_version(), names.list_kind);
        assert!(!list.metadata.unwrap().resource_version.is_empty());
        assert_eq!(api.get(&path).await.expect(200)["kind"], json!(names.list_kind));
    }
}
