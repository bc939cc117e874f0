//! `allOf`, `anyOf`, `oneOf` and `not` of a structural schema: they judge values and give no structure, so all they name must be
//! named outside of them too.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray},
};

use super::schema::{Step, children};

pub fn validate(schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    let is_int_or_string = schema.x_kubernetes_int_or_string == Some(true);
    for (step, inner) in children(schema) {
        let may_have_type = match step {
            Step::Item("anyOf", i) => is_int_or_string && allows_int_or_string(schema, i),
            Step::Item("allOf", 0) => is_int_or_string && inner.any_of.as_deref().is_some_and(is_int_or_string_pair),
            Step::Item(..) | Step::Member("not") => false,
            Step::Property(_) | Step::Member(_) => continue,
        };
        let at = step.below(path);
        nested(inner, may_have_type, &at, errors);
        complete(inner, schema, &at, path, errors);
    }
}

fn allows_int_or_string(schema: &JSONSchemaProps, at: usize) -> bool {
    at < 2 && schema.any_of.as_deref().is_some_and(is_int_or_string_pair)
}

/// `anyOf: [{type: integer}, {type: string}]`, which says the same as `x-kubernetes-int-or-string`.
fn is_int_or_string_pair(pair: &[JSONSchemaProps]) -> bool {
    let only = |type_: &str| JSONSchemaProps { type_: Some(type_.into()), ..JSONSchemaProps::default() };
    pair == [only("integer"), only("string")]
}

/// What must not stand inside.
fn nested(schema: &JSONSchemaProps, may_have_type: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let rules: [(bool, &str, &str); 12] = [
        (schema.type_.is_some() && !may_have_type, "type", "must be empty to be structural"),
        (schema.title.is_some(), "title", "must be empty to be structural"),
        (schema.description.is_some(), "description", "must be empty to be structural"),
        (schema.default.is_some(), "default", "must be undefined to be structural"),
        (schema.nullable == Some(true), "nullable", "must be false to be structural"),
        (schema.additional_properties.is_some(), "additionalProperties", "must be undefined to be structural"),
        (
            schema.x_kubernetes_preserve_unknown_fields == Some(true),
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
        (
            schema.x_kubernetes_embedded_resource == Some(true),
            "x-kubernetes-embedded-resource",
            "must be false to be structural",
        ),
        (
            schema.x_kubernetes_int_or_string == Some(true),
            "x-kubernetes-int-or-string",
            "must be false to be structural",
        ),
        (
            schema.x_kubernetes_list_map_keys.as_ref().is_some_and(|keys| !keys.is_empty()),
            "x-kubernetes-list-map-keys",
            "must be empty to be structural",
        ),
        (schema.x_kubernetes_list_type.is_some(), "x-kubernetes-list-type", "must be undefined to be structural"),
        (schema.x_kubernetes_map_type.is_some(), "x-kubernetes-map-type", "must be undefined to be structural"),
    ];
    for (is_there, member, why) in rules {
        if is_there {
            errors.push(FieldError::forbidden(&path.child(member), why));
        }
    }
    for (step, inner) in children(schema) {
        let pair = matches!(step, Step::Item("anyOf", _))
            && schema.any_of.as_deref().is_some_and(is_int_or_string_pair)
            && path.as_str().ends_with("allOf[0]");
        nested(inner, pair, &step.below(path), errors);
    }
}

/// What is named in `inner` must be named in `outer`.
fn complete(
    inner: &JSONSchemaProps,
    outer: &JSONSchemaProps,
    inner_path: &Path,
    outer_path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for (step, schema) in children(inner) {
        let at = step.below(inner_path);
        let because = || format!("because it is defined in {at}");
        match &step {
            Step::Property(name) => match outer.properties.as_ref().and_then(|all| all.get(*name)) {
                Some(counterpart) => complete(schema, counterpart, &at, &step.below(outer_path), errors),
                None => errors.push(FieldError::required(&step.below(outer_path), because())),
            },
            Step::Member("items") => match &outer.items {
                Some(JSONSchemaPropsOrArray::Schema(counterpart)) => {
                    complete(schema, counterpart, &at, &outer_path.child("items"), errors);
                }
                _ => errors.push(FieldError::required(&outer_path.child("items"), because())),
            },
            Step::Item(..) | Step::Member("not") => complete(schema, outer, &at, outer_path, errors),
            Step::Member(_) => {}
        }
    }
}
