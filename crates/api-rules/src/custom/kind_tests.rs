use serde_json::json;

use super::*;
use crate::{custom::Definition, kind::Requester};

/// Two versions, the older one without a field; status and scale; columns of each type.
pub fn crontabs() -> Value {
    let schema = |more: Value| {
        let mut spec = json!({"type": "object", "required": ["cronSpec"], "properties": {
            "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
            "color": {"type": "string"},
        }});
        if let (Some(properties), Some(more)) = (spec["properties"].as_object_mut(), more.as_object()) {
            properties.extend(more.clone());
        }
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": {"type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com", "uid": "u"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList",
                "shortNames": ["ct"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true,
                    "schema": schema(json!({"image": {"type": "string"}})),
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                    "additionalPrinterColumns": [
                        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "How many"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1}]},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": schema(json!({}))},
            ],
        },
    })
}

fn kind(version: &str) -> Arc<CustomKind> {
    let definition = Definition::read(&crontabs()).unwrap();
    definition.served.iter().find(|kind| kind.names().version == version).unwrap().clone()
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab",
        "metadata": {"name": "a", "namespace": "n", "generation": 3}, "spec": spec})
}

fn context(test: impl FnOnce(&Context)) {
    let user = Requester { name: "u", uid: "", groups: &[], extra: &BTreeMap::new() };
    test(&Context { now: "2026-01-02T03:04:05Z".parse().unwrap(), user });
}

#[test]
fn named_by_its_definition() {
    let kind = kind("v1");
    let names = kind.names();
    assert_eq!((names.api_version().as_str(), names.list_kind), ("stable.example.com/v1", "CronTabList"));
    assert_eq!((names.short_names, names.categories), (&["ct"][..], &["all"][..]));
    assert_eq!(kind.storage().unwrap().prefix, "stable.example.com/crontabs");
    assert_eq!(kind.definition(), "com.example.stable.v1.CronTab");
    assert_eq!(kind.subresources().iter().map(|sub| sub.name).collect::<Vec<_>>(), ["status", "scale"]);
    assert_eq!((kind.selectable_fields(), kind.deprecation()), (&["spec.color"][..], None));
    let older = self::kind("v1beta1");
    assert_eq!((older.selectable_fields(), older.stored_fields()), (&[][..], &["spec.color"][..]));
    assert_eq!(older.deprecation(), Some("stable.example.com/v1beta1 CronTab is deprecated"));
}

#[test]
fn bodies_are_pruned_and_judged() {
    let kind = kind("v1");
    let body = br#"{"metadata":{"name":"a","odd":1},"spec":{"cronSpec":"x","other":1,"other":2}}"#;
    let decoded = kind.decode(body, Encoding::Json, FieldValidation::Warn).unwrap();
    assert_eq!(decoded.object["apiVersion"], "stable.example.com/v1");
    assert_eq!(decoded.object["spec"], json!({"cronSpec": "x"}));
    assert_eq!(
        decoded.warnings,
        [r#"duplicate field "spec.other""#, r#"unknown field "metadata.odd""#, r#"unknown field "spec.other""#]
    );
    let strict = kind.decode(body, Encoding::Json, FieldValidation::Strict).unwrap_err();
    assert_eq!(
        strict.message,
        r#"CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: duplicate field "spec.other", unknown field "metadata.odd", unknown field "spec.other""#
    );
    assert!(kind.decode(b"[]", Encoding::Json, FieldValidation::Ignore).is_err());
    let other = kind.decode(br#"{"kind":"Pod"}"#, Encoding::Json, FieldValidation::Ignore).unwrap_err();
    assert_eq!(other.code, 400);
}

#[test]
fn objects_are_validated() {
    let kind = kind("v1");
    let check = |spec: Value, errors: &[&str]| {
        let found: Vec<_> = kind.validate_create(&object(spec)).iter().map(ToString::to_string).collect();
        assert_eq!(found, errors);
    };
    check(json!({"cronSpec": "* * * * */5", "replicas": 3}), &[]);
    check(json!({"replicas": 3}), &["spec.cronSpec: Required value"]);
    check(
        json!({"cronSpec": "* * * * */5", "replicas": "3"}),
        &[
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
            ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 3 is of the type string, expected int64",
        ],
    );
    check(
        json!({"cronSpec": "x", "replicas": 11}),
        &[
            "spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'",
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ],
    );
    let mut nameless = object(json!({"cronSpec": "* * * * */5"}));
    nameless["metadata"]["name"] = "A_".into();
    assert!(kind.validate_create(&nameless)[0].field == "metadata.name");
}

#[test]
fn generation_counts_all_but_metadata_and_status() {
    let kind = kind("v1");
    let old = json!({"metadata": {"name": "a", "generation": 3, "uid": "u"}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let check = |change: fn(&mut Value), subresource: Option<&str>, generation: i64, status: i64| {
        context(|context| {
            let mut new = old.clone();
            change(&mut new);
            kind.prepare_update(&mut new, &old, subresource, context);
            assert_eq!(
                (&new["metadata"]["generation"], &new["status"]["replicas"]),
                (&generation.into(), &status.into())
            );
        });
    };
    check(|new| new["spec"]["replicas"] = 2.into(), None, 4, 1);
    check(|new| new["metadata"]["labels"] = json!({"a": "b"}), None, 3, 1);
    check(|new| new["status"]["replicas"] = 2.into(), None, 3, 1);
    check(|new| new["status"]["replicas"] = 2.into(), Some("status"), 3, 2);
    check(|new| new["spec"]["replicas"] = 2.into(), Some("status"), 3, 1);
    check(|new| new["spec"]["replicas"] = 2.into(), Some("scale"), 4, 1);
}

#[test]
fn columns_as_the_definition_wants_them() {
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:02:05Z"},
        "spec": {"cronSpec": ["x"], "replicas": 3.0}});
    let kind = kind("v1");
    let heads: Vec<_> = kind.columns().iter().map(|c| (c.name.to_string(), c.priority)).collect();
    let pair = |name: &str, priority| (name.to_owned(), priority);
    assert_eq!(heads, [pair("Name", 0), pair("Spec", 0), pair("Replicas", 0), pair("Age", 1)]);
    assert_eq!(kind.columns()[1].description, "Custom resource definition column (in JSONPath format): .spec.cronSpec");
    assert_eq!(kind.cells(&object, now), [json!("a"), json!(r#"["x"]"#), json!(3), json!("2m")]);
    assert_eq!(kind.cells(&json!({}), now), [Value::Null, Value::Null, Value::Null, Value::Null]);
    let plain: Vec<_> = self::kind("v1beta1").columns().iter().map(|c| c.name.to_string()).collect();
    assert_eq!(plain, ["Name", "Age"]);
}

/// What is stored comes out in the stored version, with what the schema adds and without what it no longer knows.
#[test]
fn stored_objects_are_adapted() {
    let kind = kind("v1");
    let check = |stored: Value, served: Option<Value>| {
        let adapted = kind.adapt(stored.to_string().as_bytes()).unwrap();
        let adapted = adapted.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        assert_eq!(adapted, served);
    };
    let whole = object(json!({"cronSpec": "x", "replicas": 2, "image": "i"}));
    check(whole.clone(), None);
    check(object(json!({"cronSpec": "x", "gone": 1})), Some(object(json!({"cronSpec": "x", "replicas": 1}))));
    let mut older = object(json!({"cronSpec": "x"}));
    older["apiVersion"] = "stable.example.com/v1beta1".into();
    check(older, Some(object(json!({"cronSpec": "x", "replicas": 1}))));
    assert!(kind.adapt(b"no json").is_err());

    let older = self::kind("v1beta1");
    let served = older.from_storage(whole);
    assert_eq!(served["apiVersion"], "stable.example.com/v1beta1");
    assert_eq!(served["spec"], json!({"cronSpec": "x", "replicas": 2}));
    assert_eq!(older.to_storage(served)["apiVersion"], "stable.example.com/v1");
    assert!(kind.is_storage_version() && !older.is_storage_version());
}

#[test]
fn only_what_changes_bytes_counts_as_a_new_form() {
    use crate::custom::definition::served_form;
    let check = |change: fn(&mut Value), same: bool| {
        let mut changed = crontabs();
        change(&mut changed);
        assert_eq!(served_form(&changed) == served_form(&crontabs()), same);
    };
    check(|crd| crd["status"] = json!({"conditions": []}), true);
    check(|crd| crd["spec"]["versions"][0]["additionalPrinterColumns"] = json!([]), true);
    check(|crd| crd["spec"]["versions"][1]["schema"] = json!({}), false);
    check(|crd| crd["spec"]["versions"][0]["storage"] = false.into(), false);
}

/// What another server took in is served as far as it can be, and says what is missing.
#[test]
fn definitions_of_another_server() {
    let mut crd = crontabs();
    crd["spec"]["conversion"]["strategy"] = "Webhook".into();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "true"}]);
    let served = Definition::read(&crd).unwrap().served;
    assert_eq!(served.iter().map(|kind| kind.names().version).collect::<Vec<_>>(), ["v1"]);
    let warnings = served[0].warnings(&object(json!({})));
    assert_eq!(
        warnings,
        ["crontabs.stable.example.com: the x-kubernetes-validations rules of the schema are not enforced"]
    );
    assert_eq!(kind("v1").warnings(&object(json!({}))), Vec::<String>::new());

    crd["spec"]["preserveUnknownFields"] = true.into();
    let kind = Definition::read(&crd).unwrap().stored;
    let whole = object(json!({"cronSpec": "x", "replicas": 1, "anything": 1}));
    assert_eq!(kind.adapt(whole.to_string().as_bytes()), Ok(None));
}
