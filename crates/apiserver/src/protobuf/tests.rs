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
    assert_eq!(time(&number(1, 60), false).unwrap(), json!("1970-01-01T00:01:00Z"));
    assert_eq!(time(&number(1, 60), true).unwrap(), json!("1970-01-01T00:01:00.000000Z"));
    assert_eq!(time(&[], false).unwrap(), Value::Null);
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

#[test]
fn every_message_named_is_there() {
    for (name, fields) in MESSAGES.iter() {
        for field in fields {
            if let Kind::Message(inner) = field.kind {
                assert!(MESSAGES.contains_key(inner), "{name} refers to {inner}");
            }
        }
    }
    for kind in api_rules::kinds::all() {
        let names = kind.names();
        assert!(message_of(&names.api_version(), names.kind).is_some(), "{} of {}", names.kind, names.api_version());
    }
}
