use super::*;
use crate::resource::{Field, Resource, Selects};

fn selects() -> Selects {
    let phase = Field::dotted("status.phase");
    let source = Field::dotted("source").or("source.component").or("reportingComponent");
    let flag = Field::dotted("spec.unschedulable").with_default("false");
    Selects { fields: vec![phase, source, flag], indexed: None }
}

fn extractor(rewrite: Rewrite) -> Extractor {
    let (folder, label) = ("pods".into(), "pods".into());
    Extractor::new(
        &Resource { folder, label, namespaced: true, cached: true, selects: selects(), adapt: None },
        rewrite,
    )
}

fn stored(value: &str, created: Revision, modified: Revision) -> KeyValue {
    KeyValue {
        key: "/registry/pods/a/b".into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        create_revision: created,
        mod_revision: modified,
    }
}

fn check(value: &str, body: &str, fields: [&str; 3]) -> Object {
    let selects = selects();
    let object = Object::decode("a/b", &stored(value, 3, 17), &extractor(unreadable)).unwrap();
    assert_eq!(std::str::from_utf8(&object.json()).unwrap(), body);
    let found = ["status.phase", "source", "spec.unschedulable"].map(|f| object.field(f, &selects).unwrap());
    assert_eq!(found, fields);
    assert_eq!((object.namespace(), object.name(), object.revision()), ("a", "b", 17));
    object
}

#[test]
fn own_form_is_spliced() {
    let object = check(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","uid":"u","labels":{"x":"1","y":"q\"uote"}},"status":{"phase":"Running"}}"#,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"17","name":"b","uid":"u","labels":{"x":"1","y":"q\"uote"}},"status":{"phase":"Running"}}"#,
        ["Running", "", "false"],
    );
    assert_eq!(object.labels().iter().collect::<Vec<_>>(), [("x", "1"), ("y", "q\"uote")]);
    assert_eq!(object.uid(), "u");
    let frame = object.frame(EventType::Modified);
    assert_eq!(frame.as_ptr(), object.frame(EventType::Modified).as_ptr(), "one buffer");
    assert_eq!(framed_body(EventType::Modified, &frame), object.body());
    let deleted = object.deleted_frame(1234);
    let text = std::str::from_utf8(&deleted).unwrap();
    assert!(text.starts_with(r#"{"type":"DELETED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"1234","name":"b","#), "{text}");
    assert!(text.ends_with("\"Running\"}}}\n"));
}

#[test]
fn foreign_forms_are_rewritten() {
    check(
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"4"},"spec":{"unschedulable":true},"source":{"component":"kubelet"}}"#,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"17","name":"b"},"spec":{"unschedulable":true},"source":{"component":"kubelet"}}"#,
        ["", "kubelet", "true"],
    );
    check(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","resourceVersion":"4"},"reportingComponent":"x"}"#,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"17","name":"b"},"reportingComponent":"x"}"#,
        ["", "x", "false"],
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    for value in ["k8s\0\n", "{", r#"{"kind":"Pod"}"#, "[]"] {
        let error = Object::decode("a/b", &stored(value, 1, 1), &extractor(unreadable)).unwrap_err();
        assert_eq!(error.key, "/registry/pods/a/b", "{value}");
    }
}

#[test]
fn other_forms_are_read_by_who_knows_them() {
    let rewrite: Rewrite = |_| Ok(br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"}}"#.to_vec());
    let object = Object::decode("a/b", &stored("k8s\0", 1, 2), &extractor(rewrite)).unwrap();
    assert_eq!(*object.json(), *br#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"2","name":"b"}}"#);
}

#[test]
fn common_parts_are_held_once() {
    let extractor = extractor(unreadable);
    let fields = format!(r#"{{"f:spec":{{"f:{}":{{}}}}}}"#, "x".repeat(300));
    let value = |name: &str, time: u32| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","managedFields":[{{"manager":"a","time":"{time}","fieldsType":"FieldsV1","fieldsV1":{fields}}},{{"manager":"b","fieldsV1":{{"f:status":{{}}}}}},{{"manager":"c","fieldsV1":{fields}}}],"labels":{{"app":"{name}"}},"uid":"u-{name}"}},"status":{{"phase":"Running{time}"}}}}"#
        )
    };
    let selects = selects();
    for (name, time) in [("first", 1), ("second", 2), ("third", 30)] {
        let value = value(name, time);
        let object = Object::decode("a/b", &stored(&value, 3, 17), &extractor).unwrap();
        let body = value.replacen(r#""metadata":{"#, r#""metadata":{"resourceVersion":"17","#, 1);
        assert_eq!(std::str::from_utf8(&object.json()).unwrap(), body);
        assert_eq!((object.body(), object.len()), (Bytes::from(body.clone()), body.len()));
        let mut written = BytesMut::from("[");
        object.write(&mut written);
        assert_eq!(written, format!("[{body}"));
        for event in [EventType::Added, EventType::Modified] {
            let frame = object.frame(event);
            assert_eq!(frame, framed(event, body.as_bytes()));
            assert_eq!(framed_body(event, &frame), body);
        }
        assert!(object.deleted_frame(99).ends_with(format!("\"Running{time}\"}}}}}}\n").as_bytes()));
        assert_eq!(object.labels().iter().collect::<Vec<_>>(), [("app", name)]);
        assert_eq!(object.uid(), format!("u-{name}"));
        assert_eq!(object.field("status.phase", &selects), Some(format!("Running{time}").as_str()));
        assert_eq!(object.parts.len(), if name == "first" { 1 } else { 2 });
    }
}
