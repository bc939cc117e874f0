//! What the builders of objects make is valid, so that tests built on them say something about real objects.

use api_rules::{FieldValidation, kinds};
use serde::Serialize;

#[track_caller]
fn check(resource: (&str, &str), object: impl Serialize) {
    let (group, plural) = resource;
    let kind = kinds::find(group, "v1", plural).expect("a kind of the list");
    let value = serde_json::to_value(object).expect("objects are JSON");
    let mut object = kind.decode_value(value, FieldValidation::Strict).expect("a well-formed object").object;
    kind.set_defaults(&mut object);
    assert_eq!(kind.validate_create(&object), vec![]);
}

#[test]
fn built_objects_are_valid() {
    use testkit::Built;
    check(("", "pods"), testkit::pod("p").label("a", "b").owned_by(&testkit::replica_set("r", 1)));
    check(("", "nodes"), testkit::node("n"));
    check(("", "services"), testkit::service("s", "10.96.0.1"));
    check(("apps", "deployments"), testkit::deployment("d", 3).annotation("a", "b"));
    check(("apps", "replicasets"), testkit::replica_set("r", 3).finalizer("example.com/x"));
    check(("discovery.k8s.io", "endpointslices"), testkit::endpoint_slice("e", "s", &["10.244.0.2"]));
}
