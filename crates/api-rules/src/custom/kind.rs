//! A kind that a definition brought, in one version.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    names::split_api_version,
    status::Status,
};
use jiff::Timestamp;
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{default, embedded, json_path::JsonPath, lists, openapi, prune, schema::Schema, validate};
use crate::{
    apply::{self, Typing},
    document::{self, Encoding},
    kind::{Column, Context, Decoded, FieldValidation, Kind, Names, ScalePaths, Scope, Storage, Subresource},
    metadata,
    schema::Type,
    table::duration,
    typed, value,
};

/// What the versions of a definition share.
#[derive(Debug)]
pub(super) struct Versions {
    /// The version that is stored.
    pub stored: &'static str,
    pub schemas: BTreeMap<&'static str, Arc<Schema>>,
    /// `preserveUnknownFields`, which older definitions have: nothing is pruned.
    pub keeps_all: bool,
}

#[derive(Debug)]
pub(super) struct CustomColumn {
    pub head: Column,
    pub path: Option<JsonPath>,
}

#[derive(Debug)]
pub struct CustomKind {
    pub(super) names: Names,
    pub(super) definition: Box<str>,
    pub(super) scope: Scope,
    pub(super) storage: Storage,
    pub(super) verbs: &'static [&'static str],
    pub(super) subresources: Vec<Subresource>,
    pub(super) scale: Option<ScalePaths>,
    pub(super) fields: &'static [&'static str],
    /// The selectable fields of all versions.
    pub(super) stored_fields: &'static [&'static str],
    pub(super) columns: Vec<CustomColumn>,
    /// The schema as it was given, in JSON: parsed when it is published, which is seldom.
    pub(super) published: Box<str>,
    /// The schema has rules in CEL, which are not evaluated.
    pub(super) has_rules: bool,
    pub(super) deprecation: Option<Box<str>>,
    pub(super) versions: Arc<Versions>,
    /// Compiled when an object of the kind is first written.
    pub(super) typing: OnceLock<Typing>,
}

impl CustomKind {
    pub fn is_stored(&self) -> bool {
        self.names.version == self.versions.stored
    }

    /// The schema of this version.
    pub fn structural(&self) -> &Schema {
        &self.versions.schemas[self.names.version]
    }

    fn published_schema(&self) -> Value {
        serde_json::from_str(&self.published).unwrap_or_default()
    }

    /// Drops what the schema does not name; answers the paths of that.
    fn prune(&self, object: &mut Value) -> Vec<String> {
        if self.versions.keeps_all { Vec::new() } else { prune::prune(object, self.structural(), true) }
    }

    fn has_status(&self) -> bool {
        self.subresources.iter().any(|sub| sub.name == "status")
    }

    fn in_version(&self, mut object: Value, version: &str) -> Value {
        object["apiVersion"] = api_types::names::api_version(self.names.group, version).into();
        object
    }

    fn cannot_be_handled(&self, why: impl std::fmt::Display) -> Status {
        let Names { kind, version, .. } = self.names;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }

    fn check(
        &self,
        mut object: Value,
        duplicates: Vec<String>,
        validation: FieldValidation,
    ) -> Result<Decoded, Status> {
        if !object.is_object() {
            return Err(self.cannot_be_handled("it is no object"));
        }
        typed::set_type(&mut object, &self.names)?;
        let mut unknown =
            embedded::normalise(&mut object, self.structural()).map_err(|why| self.cannot_be_handled(why))?;
        unknown.extend(self.prune(&mut object));
        typed::judge(object, duplicates, unknown, validation, |found| {
            self.cannot_be_handled(format!("strict decoding error: {found}"))
        })
    }

    fn errors_of(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let schema = self.structural();
        let mut errors = validate::validate(object, old, schema);
        self.validate_scale(object, &mut errors);
        embedded::validate(object, schema, &Path::root(), &mut errors);
        lists::validate(object, schema, &Path::root(), &mut errors);
        errors
    }

    fn validate_scale(&self, object: &Value, errors: &mut Vec<FieldError>) {
        let Some(paths) = self.scale else { return };
        for path in [paths.spec_replicas, paths.status_replicas] {
            let Some(found) = value::at(object, path) else { continue };
            let at = Path::new(&format!(".{}", path.join(".")));
            match found.as_i64() {
                None => {
                    let (shown, kind) = (value::plain(found), go_kind(found));
                    let why = format!("{at} accessor error: {shown} is of the type {kind}, expected int64");
                    errors.push(FieldError::invalid(&at, 0, why));
                }
                Some(n) if n < 0 => errors.push(FieldError::invalid(&at, n, "should be a non-negative integer")),
                Some(n) if n > i64::from(i32::MAX) => {
                    let why = format!("should be less than or equal to {}", i32::MAX);
                    errors.push(FieldError::invalid(&at, n, why));
                }
                Some(_) => {}
            }
        }
    }
}

/// What Go would call the type of a decoded value.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn metadata_of(object: &Value) -> Result<ObjectMeta, FieldError> {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let parsed = ObjectMeta::deserialize(&metadata);
    parsed.map_err(|error| FieldError::invalid(&Path::new("metadata"), metadata, error.to_string()))
}

/// Everything but the metadata.
fn content(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata")
}

fn same_content(a: &Value, b: &Value) -> bool {
    content(a).count() == content(b).count() && content(a).all(|(name, member)| b.get(name) == Some(member))
}

impl Kind for CustomKind {
    fn names(&self) -> &Names {
        &self.names
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn verbs(&self) -> &'static [&'static str] {
        self.verbs
    }

    fn storage(&self) -> Option<Storage> {
        Some(self.storage)
    }

    fn subresources(&self) -> &[Subresource] {
        &self.subresources
    }

    fn scale_paths(&self) -> Option<ScalePaths> {
        self.scale
    }

    fn schema(&self) -> Option<&Type> {
        None
    }

    fn typing(&self) -> Typing {
        self.typing.get_or_init(|| apply::structural(&self.published_schema())).clone()
    }

    fn definition(&self) -> &str {
        &self.definition
    }

    fn add_schema(&self, generator: &mut SchemaGenerator) -> String {
        openapi::add(&self.definition, self.published_schema(), generator);
        self.definition.to_string()
    }

    fn decode(&self, body: &[u8], encoding: Encoding, validation: FieldValidation) -> Result<Decoded, Status> {
        let document = document::parse(body, encoding)
            .map_err(|e| Status::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
        self.check(document.value, document.duplicates, validation)
    }

    fn decode_value(&self, value: Value, validation: FieldValidation) -> Result<Decoded, Status> {
        self.check(value, Vec::new(), validation)
    }

    fn set_defaults(&self, object: &mut Value) {
        default::set_defaults(object, self.structural());
        default::drop_nulls(object, self.structural());
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        metadata::prepare_create(object);
        if self.has_status() {
            value::remove(object, &["status"]);
        }
        value::set(object, &["metadata", "generation"], json!(1));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        if self.has_status() && subresource == Some("status") {
            // The status alone changes; who manages its fields is part of that.
            let managed = value::at(new, &["metadata", "managedFields"]).cloned();
            value::copy_all_but(new, old, &["status"]);
            if let Some(managed) = managed {
                value::set(new, &["metadata", "managedFields"], managed);
            }
            return;
        }
        metadata::prepare_update(new, old);
        if self.has_status() {
            value::copy(new, old, &["status"]);
        }
        if !same_content(new, old) {
            let generation = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], json!(generation + 1));
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match metadata_of(object) {
            Ok(meta) => metadata::validate(&meta, self.scope, metadata::dns_subdomain, &mut errors),
            Err(error) => errors.push(error),
        }
        errors.extend(self.errors_of(object, None));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _: Option<&str>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (metadata_of(new), metadata_of(old)) {
            (Ok(new), Ok(old)) => metadata::validate_update(&new, &old, &mut errors),
            (Err(error), _) | (_, Err(error)) => errors.push(error),
        }
        errors.extend(self.errors_of(new, Some(old)));
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = metadata_of(object).map(|meta| metadata::warnings(&meta)).unwrap_or_default();
        if self.has_rules {
            let Names { group, plural, .. } = self.names;
            warnings
                .push(format!("{plural}.{group}: the x-kubernetes-validations rules of the schema are not enforced"));
        }
        warnings
    }

    fn deprecation(&self) -> Option<&str> {
        self.deprecation.as_deref()
    }

    fn creates_on_update(&self) -> bool {
        false
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn grace_period(&self, _: &Value, _: Option<i64>) -> Option<i64> {
        None
    }

    fn returns_deleted(&self) -> bool {
        false
    }

    fn time_to_live(&self) -> Option<u64> {
        None
    }

    fn selectable_fields(&self) -> &[&'static str] {
        self.fields
    }

    fn stored_fields(&self) -> &[&'static str] {
        self.stored_fields
    }

    fn field(&self, object: &Value, field: &str) -> Option<String> {
        match field {
            "metadata.name" => Some(value::text(object, &["metadata", "name"]).to_owned()),
            "metadata.namespace" if self.scope == Scope::Namespaced => {
                Some(value::text(object, &["metadata", "namespace"]).to_owned())
            }
            _ if self.stored_fields.contains(&field) => {
                let path: Vec<&str> = field.split('.').collect();
                Some(value::at(object, &path).map(value::plain).unwrap_or_default())
            }
            _ => None,
        }
    }

    fn columns(&self) -> Vec<Column> {
        self.columns.iter().map(|column| column.head.clone()).collect()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.columns.iter().map(|column| cell(column, object, now)).collect()
    }

    fn to_storage(&self, object: Value) -> Value {
        self.in_version(object, self.versions.stored)
    }

    fn from_storage(&self, object: Value) -> Value {
        if self.is_stored() {
            return object;
        }
        let mut object = self.in_version(object, self.names.version);
        self.prune(&mut object);
        object
    }

    fn is_storage_version(&self) -> bool {
        self.is_stored()
    }

    /// Defaults are those of the version that an object was stored in; then it is brought into the version that is stored now.
    fn adapt(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut object: Value = serde_json::from_slice(stored).map_err(|error| error.to_string())?;
        let (_, version) = split_api_version(value::text(&object, &["apiVersion"]));
        let mut changed = version != self.versions.stored || object["kind"] != self.names.kind;
        let written_in = self.versions.schemas.get(version).map_or(self.structural(), |schema| &**schema);
        changed |= embedded::repair(&mut object, written_in);
        changed |= default::set_defaults(&mut object, written_in);
        changed |= default::drop_nulls(&mut object, written_in);
        changed |= !self.prune(&mut object).is_empty();
        if !changed {
            return Ok(None);
        }
        object["kind"] = self.names.kind.into();
        Ok(Some(document::encode(&self.in_version(object, self.versions.stored))))
    }
}

/// What a column shows of an object; `null` for what is not there or of another type.
fn cell(column: &CustomColumn, object: &Value, now: Timestamp) -> Value {
    let Some(found) = column.path.as_ref().and_then(|path| path.first(object)) else { return Value::Null };
    match (&*column.head.type_, found) {
        ("string", Value::String(_)) => found.clone(),
        ("string", Value::Null) => Value::Null,
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(n)) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).into(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => duration::since(Some(time), now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
