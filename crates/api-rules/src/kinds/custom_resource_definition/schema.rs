//! What may stand in a schema at all, before it is asked whether it is structural.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    },
};
use serde_json::{Value, json};

use super::{lists, structural};
use crate::custom::{default, embedded, pattern, prune, schema::Schema, validate};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Levels that a schema may have.
const MAX_DEPTH: usize = 64;

/// What may stand beside the properties of a root whose status is a subresource.
const ALLOWED_AT_ROOT: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];

pub fn validate(root: &JSONSchemaProps, has_status: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    if has_status {
        validate_root(root, path, errors);
    }
    if root.nullable == Some(true) {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    if depth(root, 0) > MAX_DEPTH {
        let why = format!("a schema of more than {MAX_DEPTH} levels is not supported by this server");
        errors.push(FieldError::forbidden(path, why));
        return;
    }
    each(root, path, &mut |schema, path| validate_one(schema, path, errors));
    structural::validate(root, path, errors);
    if errors.len() == before {
        validate_defaults(root, path, errors);
    }
}

/// The deepest level, found without going deeper than is allowed.
fn depth(schema: &JSONSchemaProps, level: usize) -> usize {
    if level > MAX_DEPTH {
        return level;
    }
    children(schema).into_iter().map(|(_, child)| depth(child, level + 1)).max().unwrap_or(level)
}

fn validate_root(root: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    if root.type_.as_deref().is_some_and(|type_| type_ != "object") {
        errors.push(FieldError::invalid(
            &path.child("type"),
            json!(root.type_),
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled",
        ));
    }
    let others = [
        root.all_of.is_some(),
        root.any_of.is_some(),
        root.one_of.is_some(),
        root.not.is_some(),
        root.enum_.is_some(),
        root.default.is_some(),
        root.additional_properties.is_some(),
        root.min_properties.is_some(),
        root.max_properties.is_some(),
        root.x_kubernetes_embedded_resource.is_some(),
        root.x_kubernetes_int_or_string.is_some(),
        root.x_kubernetes_list_type.is_some(),
        root.x_kubernetes_map_type.is_some(),
    ];
    if others.contains(&true) {
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            ALLOWED_AT_ROOT.join(" ")
        );
        errors.push(FieldError::invalid(path, json!(root), why));
    }
}

/// Calls `found` for a schema and all below it.
pub fn each(schema: &JSONSchemaProps, path: &Path, found: &mut impl FnMut(&JSONSchemaProps, &Path)) {
    found(schema, path);
    for (step, child) in children(schema) {
        each(child, &step.below(path), found);
    }
}

/// The way to a schema within another.
pub enum Step<'a> {
    Property(&'a str),
    Member(&'static str),
    Item(&'static str, usize),
}

impl Step<'_> {
    pub fn below(&self, path: &Path) -> Path {
        match self {
            Self::Property(name) => path.child("properties").key(name),
            Self::Member(name) => path.child(name),
            Self::Item(name, i) => path.child(name).index(*i),
        }
    }
}

pub fn children(schema: &JSONSchemaProps) -> Vec<(Step<'_>, &JSONSchemaProps)> {
    let mut all: Vec<(Step, &JSONSchemaProps)> = Vec::new();
    all.extend(schema.properties.iter().flatten().map(|(name, child)| (Step::Property(name), child)));
    if let Some(JSONSchemaPropsOrBool::Schema(child)) = &schema.additional_properties {
        all.push((Step::Member("additionalProperties"), child));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(child)) = &schema.items {
        all.push((Step::Member("items"), child));
    }
    if let Some(child) = &schema.not {
        all.push((Step::Member("not"), child));
    }
    for (name, list) in [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)] {
        all.extend(list.iter().flatten().enumerate().map(|(i, child)| (Step::Item(name, i), child)));
    }
    all
}

fn validate_one(schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    let mut forbidden = |is_there: bool, member: &str, why: &str| {
        if is_there {
            errors.push(FieldError::forbidden(&path.child(member), why));
        }
    };
    forbidden(
        schema.unique_items == Some(true),
        "uniqueItems",
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    );
    forbidden(
        schema.properties.as_ref().is_some_and(|all| !all.is_empty())
            && !matches!(schema.additional_properties, None | Some(JSONSchemaPropsOrBool::Bool(true))),
        "additionalProperties",
        "additionalProperties and properties are mutual exclusive",
    );
    forbidden(schema.id.is_some(), "id", "id is not supported");
    forbidden(schema.additional_items.is_some(), "additionalItems", "additionalItems is not supported");
    forbidden(schema.pattern_properties.is_some(), "patternProperties", "patternProperties is not supported");
    forbidden(schema.definitions.is_some(), "definitions", "definitions is not supported");
    forbidden(schema.dependencies.is_some(), "dependencies", "dependencies is not supported");
    forbidden(schema.ref_path.is_some(), "$ref", "$ref is not supported");
    forbidden(
        schema.type_.as_deref() == Some("null"),
        "type",
        "type cannot be set to null, use nullable as an alternative",
    );
    forbidden(
        matches!(schema.items, Some(JSONSchemaPropsOrArray::Schemas(_))),
        "items",
        "items must be a schema object and not an array",
    );
    forbidden(
        schema.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty()),
        "x-kubernetes-validations",
        "rules in CEL are not evaluated by this server yet",
    );
    if let Some(type_) = schema.type_.as_deref().filter(|type_| *type_ != "null" && !TYPES.contains(type_)) {
        errors.push(FieldError::not_supported(&path.child("type"), type_, &TYPES));
    }
    if let Some(text) = schema.pattern.as_deref()
        && let Err(why) = pattern::compile(text)
    {
        let why = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(&path.child("pattern"), text, why));
    }
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    lists::validate(schema, path, errors);
}

/// Defaults are what the schema itself would let in, and keep as a whole.
fn validate_defaults(root: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    each(root, path, &mut |props, path| {
        let Some(given) = &props.default else { return };
        let at = path.child("default");
        let json = json!(props);
        let schema = Schema::read(&json);
        let mut value = given.0.clone();
        default::set_defaults(&mut value, &schema);
        let unknown = prune::prune(&mut value, &schema, schema.embedded_resource);
        if !unknown.is_empty() {
            errors.push(FieldError::invalid(&at, given.0.clone(), "must not have unknown fields"));
            return;
        }
        if let Err(why) = embedded::normalise(&mut json!({ "default": value }), &Schema::read(&holder(&json))) {
            errors.push(FieldError::invalid(&at, given.0.clone(), format!("must result in valid metadata: {why}")));
        }
        errors.extend(validate::validate(&value, None, &schema).into_iter().map(|error| {
            let field = if error.field == "<nil>" { at.to_string() } else { format!("{at}.{}", error.field) };
            FieldError { field, ..error }
        }));
    });
}

/// A schema of an object with a member like this.
fn holder(json: &Value) -> Value {
    json!({"type": "object", "properties": {"default": json}})
}
