use serde_json::{Value, json};

use crate::{
    kind::{Context, Kind, Requester},
    kinds, value,
};

fn kind() -> &'static dyn Kind {
    kinds::find("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap()
}

fn crd(schema: Value) -> Value {
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    kind().set_defaults(&mut crd);
    let user = Requester { name: "u", uid: "", groups: &[], extra: &Default::default() };
    kind().prepare_create(&mut crd, &Context { now: "2026-01-02T03:04:05Z".parse().unwrap(), user });
    crd
}

#[track_caller]
fn check_schema(schema: Value, errors: &[&str]) {
    let path = "spec.versions[0].schema.openAPIV3Schema";
    let found: Vec<String> =
        kind().validate_create(&crd(schema)).iter().map(|error| error.to_string().replace(path, "*")).collect();
    assert_eq!(found, errors);
}

fn field(schema: Value) -> Value {
    json!({"type": "object", "properties": {"x": schema}})
}

#[test]
fn defaults() {
    let crd = crd(json!({"type": "object"}));
    assert_eq!(
        crd["spec"]["names"],
        json!({"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"})
    );
    assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(crd["status"], json!({"storedVersions": ["v1"]}));
    assert_eq!(kind().validate_create(&crd), []);
}

#[test]
fn structure() {
    check_schema(json!({}), &["*.type: Required value: must not be empty at the root"]);
    check_schema(json!({"type": "string"}), &["*.type: Invalid value: \"string\": must be object at the root"]);
    check_schema(
        field(json!({})),
        &["*.properties[x].type: Required value: must not be empty for specified object fields"],
    );
    check_schema(
        field(json!({"type": "array", "items": {}})),
        &["*.properties[x].items.type: Required value: must not be empty for specified array items"],
    );
    check_schema(
        field(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})),
        &[],
    );
    check_schema(
        field(json!({"type": "string", "anyOf": [{"type": "string"}]})),
        &["*.properties[x].anyOf[0].type: Forbidden: must be empty to be structural"],
    );
    check_schema(
        field(json!({"type": "object", "oneOf": [{"properties": {"y": {"minLength": 1}}}]})),
        &[
            "*.properties[x].properties[y]: Required value: because it is defined in *.properties[x].oneOf[0].properties[y]",
        ],
    );
    check_schema(
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
        &[
            "*.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    );
    check_schema(
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}}}),
        &[],
    );
    check_schema(
        field(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
        &[
            "*.properties[x].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    );
}

#[test]
fn forbidden_constructs() {
    for (schema, error) in [
        (json!({"type": "string", "$ref": "#/a"}), "*.properties[x].$ref: Forbidden: $ref is not supported"),
        (
            json!({"type": "object", "definitions": {"a": {}}}),
            "*.properties[x].definitions: Forbidden: definitions is not supported",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            "*.properties[x].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            "*.properties[x].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == ''"}]}),
            "*.properties[x].x-kubernetes-validations: Forbidden: rules in CEL are not evaluated by this server yet",
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
            "*.properties[x].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (
            json!({"type": "text"}),
            "*.properties[x].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
    ] {
        check_schema(field(schema), &[error]);
    }
    let found = kind().validate_create(&crd(field(json!({"type": "string", "pattern": "("}))));
    assert!(found[0].detail.starts_with("must be a valid regular expression, but isn't: "), "{found:?}");
}

#[test]
fn list_types() {
    let item =
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    check_schema(
        field(
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": item}),
        ),
        &[],
    );
    check_schema(
        field(
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b", "c"], "items": item}),
        ),
        &[
            "*.properties[x].items.properties[b].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            "*.properties[x].x-kubernetes-list-map-keys[1]: Invalid value: \"c\": entries must all be names of item properties",
        ],
    );
    check_schema(
        field(json!({"type": "array", "x-kubernetes-list-type": "map", "items": item})),
        &[
            "*.properties[x].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ],
    );
    check_schema(
        field(json!({"type": "string", "x-kubernetes-list-type": "set"})),
        &["*.properties[x].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"],
    );
    check_schema(
        field(json!({"type": "object", "x-kubernetes-map-type": "odd"})),
        &[
            "*.properties[x].x-kubernetes-map-type: Unsupported value: \"odd\": supported values: \"atomic\", \"granular\"",
        ],
    );
}

#[test]
fn default_values() {
    check_schema(field(json!({"type": "integer", "default": 1, "minimum": 1})), &[]);
    check_schema(
        field(json!({"type": "integer", "default": 0, "minimum": 1})),
        &["*.properties[x].default: Invalid value: 0:  in body should be greater than or equal to 1"],
    );
    check_schema(
        field(json!({"type": "object", "default": {"y": 1}})),
        &["*.properties[x].default: Invalid value: {\"y\":1}: must not have unknown fields"],
    );
}

#[track_caller]
fn check_change(change: impl FnOnce(&mut Value), errors: &[&str]) {
    let mut crd = crd(json!({"type": "object"}));
    change(&mut crd);
    let found: Vec<_> = kind().validate_create(&crd).iter().map(ToString::to_string).collect();
    let shortened: Vec<_> = found.iter().map(|error| error.split(": [{").next().unwrap().to_owned()).collect();
    assert_eq!(shortened, errors);
}

#[test]
fn the_rest_of_the_specification() {
    check_change(
        |crd| crd["metadata"]["name"] = "other".into(),
        &["metadata.name: Invalid value: \"other\": must be spec.names.plural+\".\"+spec.group"],
    );
    check_change(
        |crd| crd["spec"]["scope"] = "Galaxy".into(),
        &["spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\""],
    );
    check_change(
        |crd| crd["spec"]["names"]["listKind"] = "Widget".into(),
        &["spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same"],
    );
    check_change(|crd| crd["spec"]["versions"][0]["storage"] = false.into(), &["spec.versions: Invalid value"]);
    check_change(
        |crd| crd["spec"]["versions"][0]["schema"] = json!({}),
        &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
    );
    check_change(
        |crd| crd["spec"]["conversion"]["strategy"] = "Webhook".into(),
        &[
            "spec.conversion.strategy: Forbidden: conversion by webhooks is not supported by this server yet: all versions must have strategy None",
        ],
    );
    check_change(
        |crd| crd["spec"]["preserveUnknownFields"] = true.into(),
        &[
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ],
    );
    check_change(
        |crd| {
            crd["spec"]["versions"][0]["additionalPrinterColumns"] =
                json!([{"name": "", "type": "text", "jsonPath": "spec"}])
        },
        &[
            "spec.versions[0].additionalPrinterColumns[0].name: Required value",
            "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
            "spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: \"spec\": must be a simple json path starting with .",
        ],
    );
    check_change(
        |crd| {
            crd["spec"]["versions"][0]["subresources"] =
                json!({"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.n"}})
        },
        &[
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec",
        ],
    );
    check_change(
        |crd| crd["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.x"}]),
        &[
            "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.x\": is an invalid path: field not found in the schema",
        ],
    );
    check_change(
        |crd| crd["status"]["storedVersions"] = json!(["v0"]),
        &[
            "status.storedVersions[0]: Invalid value: \"v0\": must appear in spec.versions",
            "status.storedVersions: Invalid value: [\"v0\"]: must have the storage version v1",
        ],
    );
}

#[test]
fn what_may_not_change() {
    let mut old = crd(json!({"type": "object"}));
    value::set(&mut old, &["status", "conditions"], json!([{"type": "Established", "status": "True"}]));
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["names"]["kind"] = "Gadget".into();
    let found: Vec<_> = kind().validate_update(&new, &old, None).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Gadget\": field is immutable",
        ]
    );
}

#[test]
fn every_version_that_was_stored_is_remembered() {
    let old = crd(json!({"type": "object"}));
    let mut new = old.clone();
    let mut second = new["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    new["spec"]["versions"][0]["storage"] = false.into();
    new["spec"]["versions"].as_array_mut().unwrap().push(second);
    let user = Requester { name: "u", uid: "", groups: &[], extra: &Default::default() };
    kind().prepare_update(&mut new, &old, None, &Context { now: "2026-01-02T03:04:05Z".parse().unwrap(), user });
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(new["metadata"]["generation"], 2);
}

#[test]
fn a_deleted_definition_waits_for_its_instances() {
    let mut crd = crd(json!({"type": "object"}));
    kind().prepare_delete(&mut crd, "2026-01-02T03:04:05Z".parse().unwrap());
    assert_eq!(crd["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(crd["status"]["conditions"][0]["reason"], "InstanceDeletionPending");
}
