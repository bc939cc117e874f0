use serde_json::json;

use super::*;

fn check(schema: Value, value: Value, errors: &[&str]) {
    check_update(schema, value, None, errors);
}

#[track_caller]
fn check_update(schema: Value, value: Value, old: Option<Value>, errors: &[&str]) {
    let schema = json!({"type": "object", "properties": {"x": schema}});
    let old = old.map(|old| json!({ "x": old }));
    let found: Vec<String> = validate(&json!({ "x": value }), old.as_ref(), &Schema::read(&schema))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, errors);
}

#[test]
fn types() {
    let integer = json!({"type": "integer"});
    check(integer.clone(), json!(1), &[]);
    check(integer.clone(), json!(1.0), &[]);
    check(
        integer.clone(),
        json!("a"),
        &["x: Invalid value: \"string\": x in body must be of type integer: \"string\""],
    );
    check(integer, json!(1.5), &["x: Invalid value: \"number\": x in body must be of type integer: \"number\""]);
    let text = json!({"type": "string"});
    check(text.clone(), json!(null), &["x: Invalid value: \"null\": x in body must be of type string: \"null\""]);
    check(text, json!([]), &["x: Invalid value: \"array\": x in body must be of type string: \"array\""]);
    check(json!({"type": "string", "nullable": true}), json!(null), &[]);
    let either = json!({"x-kubernetes-int-or-string": true});
    check(either.clone(), json!("5%"), &[]);
    check(either.clone(), json!(5), &[]);
    check(
        either,
        json!(true),
        &["x: Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\""],
    );
}

#[test]
fn texts() {
    let rules = json!({"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^a*$"});
    check(rules.clone(), json!("aaa"), &[]);
    check(rules.clone(), json!("a"), &["x: Invalid value: \"a\": x in body should be at least 2 chars long"]);
    check(
        rules,
        json!("bbbbb"),
        &["x: Too long: may not be more than 4 bytes", "x: Invalid value: \"bbbbb\": x in body should match '^a*$'"],
    );
    check(
        json!({"type": "string", "format": "date-time"}),
        json!("yesterday"),
        &["x: Invalid value: \"yesterday\": x in body must be of type date-time: \"yesterday\""],
    );
    check(
        json!({"type": "string", "enum": ["A", "B"]}),
        json!("C"),
        &["x: Unsupported value: \"C\": supported values: \"A\", \"B\""],
    );
}

#[test]
fn numbers() {
    let rules = json!({"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2});
    check(rules.clone(), json!(4), &[]);
    check(rules.clone(), json!(0), &["x: Invalid value: 0: x in body should be greater than or equal to 1"]);
    check(rules.clone(), json!(12), &["x: Invalid value: 12: x in body should be less than or equal to 10"]);
    check(rules, json!(3), &["x: Invalid value: 3: x in body should be a multiple of 2"]);
    check(
        json!({"type": "number", "minimum": 0, "exclusiveMinimum": true}),
        json!(0),
        &["x: Invalid value: 0: x in body should be greater than 0"],
    );
    check(
        json!({"type": "integer", "format": "int32"}),
        json!(3_000_000_000_i64),
        &["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in x"],
    );
}

#[test]
fn lists_and_objects() {
    let list = json!({"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true, "items": {"type": "string"}});
    check(list.clone(), json!(["a"]), &[]);
    check(list.clone(), json!([]), &["x: Invalid value: 0: x in body should have at least 1 items"]);
    check(
        list,
        json!(["a", "a", 1]),
        &[
            "x[2]: Invalid value: \"integer\": x[2] in body must be of type string: \"integer\"",
            "x: Too many: 3: must have at most 2 items",
            "x: Invalid value: [\"a\",\"a\",1]: x in body shouldn't contain duplicates",
        ],
    );
    let object = json!({"type": "object", "required": ["a", "b"], "minProperties": 2,
        "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}});
    check(
        object,
        json!({"c": "1"}),
        &[
            "x: Invalid value: 1: x in body should have at least 2 properties",
            "x.c: Invalid value: \"string\": x.c in body must be of type integer: \"string\"",
            "x.a: Required value",
            "x.b: Required value",
        ],
    );
}

#[test]
fn combinations() {
    let one = json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(one.clone(), json!({"a": 1}), &[]);
    check(
        one.clone(),
        json!({"a": 1, "b": 1}),
        &[
            "<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    );
    check(
        one,
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found none valid",
            "x.a: Required value",
        ],
    );
    check(
        json!({"type": "object", "anyOf": [{"required": ["a"]}]}),
        json!({}),
        &["<nil>: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)", "x.a: Required value"],
    );
    check(
        json!({"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}], "not": {"enum": ["abc"]}}),
        json!("a"),
        &[
            "x: Invalid value: \"a\": x in body should be at least 2 chars long",
            "<nil>: Invalid value: \"\": \"x\" must validate all the schemas (allOf)",
        ],
    );
    check(
        json!({"type": "string", "not": {"enum": ["abc"]}}),
        json!("abc"),
        &["<nil>: Invalid value: \"\": \"x\" must not validate the schema (not)"],
    );
}

/// What was wrong before and has not been touched stays.
#[test]
fn ratcheting() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "string"}}});
    check_update(schema.clone(), json!({"a": "long", "b": "new"}), Some(json!({"a": "long"})), &[]);
    let error = &["x.a: Too long: may not be more than 1 bytes"];
    check_update(schema, json!({"a": "longer"}), Some(json!({"a": "long"})), error);
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "minimum": 5}}}});
    let old = json!([{"n": "a", "v": 1}]);
    check_update(keyed.clone(), json!([{"n": "b", "v": 6}, {"n": "a", "v": 1}]), Some(old.clone()), &[]);
    let atomic = json!({"type": "array", "items": keyed["items"]});
    let error = &["x[1].v: Invalid value: 1: x[1].v in body should be greater than or equal to 5"];
    check_update(atomic, json!([{"n": "b", "v": 6}, {"n": "a", "v": 1}]), Some(old), error);
}
