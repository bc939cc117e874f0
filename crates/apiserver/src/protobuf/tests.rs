use super::*;

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &type_meta), field(2, raw), field(3, b""), field(4, b"")].concat()
}

#[test]
fn a_config_map() {
    let metadata =
        [field(1, b"a"), field(3, b""), field(8, b""), field(11, &[field(1, b"k"), field(2, b"v")].concat())];
    let raw = [field(1, &metadata.concat()), field(2, &[field(1, b"x"), field(2, b"1")].concat())].concat();
    assert_eq!(
        to_json(&body("v1", "ConfigMap", &raw)).unwrap(),
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "", "labels": {"k": "v"}}, "data": {"x": "1"}})
    );
}

#[test]
fn inlined_and_special_members() {
    let empty_dir = field(2, &field(2, &field(1, b"1Gi")));
    let volume = [field(1, b"tmp"), field(2, &empty_dir)].concat();
    let port = [number(1, 0), number(2, 80), field(3, b"")].concat();
    let probe = [field(1, &field(2, &field(2, &port))), number(2, 5)].concat();
    let container = [field(1, b"c"), field(11, &probe)].concat();
    let spec = [field(1, &volume), field(2, &container)].concat();
    let pod = to_json(&body("v1", "Pod", &field(2, &spec))).unwrap();
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]));
    let probe = &pod["spec"]["containers"][0]["readinessProbe"];
    let probe = if probe.is_null() { &pod["spec"]["containers"][0]["livenessProbe"] } else { probe };
    assert_eq!(*probe, json!({"httpGet": {"port": 80}, "initialDelaySeconds": 5}));
}

#[test]
fn times_and_negative_numbers() {
    let minus_one = [&[1 << 3][..], &[0xff; 9], &[1]].concat();
    let options = to_json(&body("v1", "DeleteOptions", &minus_one)).unwrap();
    assert_eq!(options["gracePeriodSeconds"], json!(-1));
    let created = |time: &[u8]| field(1, &field(8, time));
    let read = |time: &[u8]| {
        to_json(&body("v1", "ConfigMap", &created(time))).unwrap()["metadata"]["creationTimestamp"].clone()
    };
    assert_eq!(read(&number(1, 60)), json!("1970-01-01T00:01:00Z"));
    assert_eq!(read(&[]), Value::Null);
}

#[test]
fn what_cannot_be_read_is_refused() {
    assert_eq!(to_json(b"{}"), Err(ProtobufError::NoMagic));
    assert_eq!(to_json(&body("v1", "Odd", b"")), Err(ProtobufError::UnknownKind("v1, Kind=Odd".into())));
    let whole = body("v1", "ConfigMap", &field(1, &field(1, b"a")));
    for end in 4..whole.len() {
        // Cut anywhere: an error or a smaller object, never a panic.
        let _ = to_json(&whole[..end]);
    }
}

fn round_trip(object: Value) {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let body = super::object(api_version, kind, object.to_string().as_bytes()).unwrap();
    assert_eq!(to_json(&body).unwrap(), object);
}

#[test]
fn objects_come_back_as_they_went() {
    round_trip(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "default", "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web", "tier": ""},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:spec": {"f:nodeName": {}}}}]},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
            "containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                "readinessProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": -1},
                "env": [{"name": "A", "value": ""}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}],
            "hostNetwork": false, "terminationGracePeriodSeconds": 0},
        "status": {"phase": "Running", "startTime": "2026-01-02T03:04:05Z"}}));
    round_trip(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "AAEC/w=="}, "type": "Opaque"}),
    );
    round_trip(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "renewTime": "2026-01-02T03:04:05.678901Z"}}));
    round_trip(json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"},
        "data": {"spec": {"template": {"$patch": "replace"}}}, "revision": 3}));
}

#[test]
fn schemas_and_what_stands_in_their_place() {
    round_trip(
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "c"},
        "spec": {"group": "example.com", "versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-list-map-keys": ["a"], "maximum": 1.5, "default": {"a": [1, null]},
            "properties": {"a": {"additionalProperties": false}, "b": {"additionalProperties": {"type": "string"}},
                "c": {"items": {"type": "integer"}}, "d": {"items": [{"type": "integer"}, {"type": "string"}]}},
            "dependencies": {"e": ["f", "g"], "h": {"type": "object"}}, "enum": ["x", 1, null]}}}]}}),
    );
}

#[test]
fn long_messages_have_long_lengths() {
    for length in [1, 0x7d, 0x7e, 0x7f, 0x80, 0x3fff, 0x4000, 0x20_0000] {
        let value = "x".repeat(length);
        round_trip(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}}));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |object: Value| {
        super::object("v1", "Pod", object.to_string().as_bytes()).unwrap_err();
    };
    check(json!({"spec": {"containers": "none"}}));
    check(json!({"spec": []}));
    check(json!({"metadata": {"creationTimestamp": "yesterday"}}));
    assert!(super::object("v1", "Odd", b"{}").is_err());
}

#[test]
fn a_watch_sends_frames() {
    let frame = watch_frame("ADDED", b"object");
    let (length, mut event) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    let mut read = || wire::next(&mut event).unwrap().unwrap().payload;
    assert_eq!(read(), Payload::Bytes(b"ADDED"));
    let Payload::Bytes(mut raw) = read() else { panic!("bytes") };
    assert_eq!(wire::next(&mut raw).unwrap().unwrap().payload, Payload::Bytes(b"object"));
}

#[test]
fn schemas_without_end_are_refused() {
    let mut schema = Vec::new();
    for _ in 0..1000 {
        let mut around = Vec::new();
        wire::bytes(28, &schema, &mut around);
        schema = around;
    }
    let id = messages::json_schema().unwrap();
    assert_eq!(decode::members(id, &schema, &mut Map::new(), 0), Err(ProtobufError::TooDeep));
}
