//! The built-in kinds: one static trait that a kind's file fills in, and the work all of them share.

use std::marker::PhantomData;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta},
    status::Status,
};
use jiff::Timestamp;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    columns,
    document::{self, Encoding},
    kind::{Column, Context, Decoded, FieldValidation, Kind, Names, ScalePaths, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    schema::{self, Type},
    value,
};

/// Verbs of a resource that is stored.
pub const STORED: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Verbs of a resource that is answered and forgotten.
pub const ANSWERED: &[&str] = &["create"];
/// Verbs of most subresources.
pub const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];
/// Verbs of what is passed on, whatever its method.
pub const PROXIED: &[&str] = &["create", "delete", "get", "patch", "update"];

/// Zeros are dropped on the way in, as Go's encoder drops most of them; these it keeps.
fn fill_counts(object: &mut Value, counts: &[&str]) {
    if !counts.is_empty() {
        let status = value::child(object, "status");
        counts.iter().for_each(|count| value::default(status, count, 0));
    }
}

/// The `status` subresource of a kind.
pub const fn status_of(names: &Names) -> Subresource {
    Subresource {
        name: "status",
        group: names.group,
        version: names.version,
        kind: names.kind,
        verbs: GET_PATCH_UPDATE,
    }
}

/// The text of the warning that an object has no effect.
pub fn not_enforced(names: &Names, why: &str) -> String {
    format!("{} is stored but not enforced: {why}", names.kind)
}

/// What differs from kind to kind. Rules about metadata that all kinds share are in `metadata`.
pub trait Resource: Send + Sync + 'static {
    type Object: DeserializeOwned + JsonSchema + Metadata<Ty = ObjectMeta>;

    const NAMES: Names;
    const SCOPE: Scope;
    const VERBS: &'static [&'static str] = STORED;
    const STORAGE: Option<Storage>;
    const SUBRESOURCES: &'static [Subresource] = &[];
    const SCALE: Option<ScalePaths> = None;
    const FIELDS: &'static [&'static str] = &[];
    /// What `metadata.name` may look like.
    const NAME_RULE: NameRule = metadata::dns_subdomain;
    /// Whether `metadata.generation` counts the changes of [`Self::COUNTED`].
    const GENERATION: bool = false;
    /// The member whose changes the generation counts.
    const COUNTED: &'static str = "spec";
    /// Why objects of the kind are stored and served without effect, for kinds whose engine is not there yet.
    const NOT_ENFORCED: Option<&'static str> = None;
    /// Whether a create may say what the status is.
    const STATUS_ON_CREATE: bool = false;
    const CREATES_ON_UPDATE: bool = false;
    const UPDATES_UNCONDITIONALLY: bool = true;
    const RETURNS_DELETED: bool = false;
    const TIME_TO_LIVE: Option<u64> = None;
    const STORAGE_VERSION: bool = true;

    /// Counts of the status that are written even when they are zero.
    const STATUS_COUNTS: &'static [&'static str] = &[];

    fn set_defaults(_object: &mut Value) {}
    /// After `status` has been dropped (where the kind has that subresource).
    fn prepare_create(_object: &mut Value, _context: &Context) {}
    /// After `status` (or, on the status subresource, everything else) has been put back to the old state.
    fn prepare_update(_new: &mut Value, _old: &Value, _subresource: Option<&str>, _context: &Context) {}
    /// Before anything decides whether a deleted object goes at once.
    fn prepare_delete(_object: &mut Value, _now: Timestamp) {}
    fn validate(_object: &Self::Object, _errors: &mut Vec<FieldError>) {}
    /// What holds for new objects only, besides `validate`.
    fn validate_create(_object: &Self::Object, _errors: &mut Vec<FieldError>) {}
    /// For updates; `validate` is run on the new object as well, except on the status subresource.
    fn validate_update(
        _new: &Self::Object,
        _old: &Self::Object,
        _subresource: Option<&str>,
        _errors: &mut Vec<FieldError>,
    ) {
    }
    fn warnings(_object: &Self::Object) -> Vec<String> {
        Vec::new()
    }
    fn grace_period(_object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }
    /// The value of one of `FIELDS`.
    fn field(object: &Value, field: &str) -> String {
        value::at(object, &field.split('.').collect::<Vec<_>>()).map(value::plain).unwrap_or_default()
    }
    /// One cell for each row of `columns.tsv`.
    fn cells(object: &Self::Object, now: Timestamp) -> Vec<Value>;
    fn to_storage(object: Value) -> Value {
        object
    }
    fn from_storage(object: Value) -> Value {
        object
    }
}

/// A built-in kind as a `dyn Kind`.
pub struct Typed<R>(PhantomData<fn() -> R>);

impl<R> Typed<R> {
    pub const NEW: Self = Self(PhantomData);
}

impl<R: Resource> Typed<R> {
    fn parse(object: &Value) -> Result<R::Object, FieldError> {
        serde::Deserialize::deserialize(object).map_err(|e| FieldError::internal(&Path::root(), format!("{e}")))
    }

    fn has_status() -> bool {
        R::SUBRESOURCES.iter().any(|s| s.name == "status")
    }

    fn cannot_be_handled(given: &str, why: impl std::fmt::Display) -> Status {
        let names = R::NAMES;
        Status::bad_request(format!(
            "{given} in version \"{}\" cannot be handled as a {}: {why}",
            names.version, names.kind
        ))
    }

    fn check(value: Value, duplicates: Vec<String>, validation: FieldValidation) -> Result<Decoded, Status> {
        let mut object = value;
        set_type(&mut object, &R::NAMES)?;
        let schema = schema_of::<R>();
        let findings =
            schema::decode::normalise(&mut object, schema).map_err(|e| Self::cannot_be_handled(R::NAMES.kind, e))?;
        judge(object, duplicates, findings.unknown, validation, |found| {
            Self::cannot_be_handled(R::NAMES.kind, format!("strict decoding error: {found}"))
        })
    }
}

fn schema_of<R: Resource>() -> &'static Type {
    schema::registry().find(&R::Object::schema_name()).expect("every kind of the list registered its schema")
}

/// What becomes of an object with duplicate and unknown fields: `strict` makes the error of all of them.
pub(crate) fn judge(
    object: Value,
    duplicates: Vec<String>,
    unknown: Vec<String>,
    validation: FieldValidation,
    strict: impl FnOnce(&str) -> Status,
) -> Result<Decoded, Status> {
    let named = |what: &str, paths: Vec<String>| {
        paths.into_iter().map(move |path| format!("{what} field {path:?}")).collect::<Vec<_>>()
    };
    let mut found = named("duplicate", duplicates);
    found.extend(named("unknown", unknown));
    match validation {
        FieldValidation::Strict if !found.is_empty() => Err(strict(&found.join(", "))),
        FieldValidation::Warn => Ok(Decoded { object, warnings: found }),
        _ => Ok(Decoded { object, warnings: Vec::new() }),
    }
}

/// Fills in a missing `apiVersion` and `kind`; refuses others than ours.
pub(crate) fn set_type(object: &mut Value, names: &Names) -> Result<(), Status> {
    let ours = names.api_version();
    let Some(members) = object.as_object_mut() else { return Ok(()) };
    let given = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (given("apiVersion"), given("kind"));
    if !version.is_empty() && version != ours {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({ours})"
        )));
    }
    if !kind.is_empty() && kind != names.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: converting ({}.{kind}) to ({}.{}): unknown conversion",
            names.version, names.kind, names.version, names.version, names.kind
        )));
    }
    members.insert("apiVersion".into(), ours.into());
    members.insert("kind".into(), names.kind.into());
    Ok(())
}

impl<R: Resource> Kind for Typed<R> {
    fn names(&self) -> &Names {
        &const { R::NAMES }
    }

    fn scope(&self) -> Scope {
        R::SCOPE
    }

    fn verbs(&self) -> &'static [&'static str] {
        R::VERBS
    }

    fn storage(&self) -> Option<Storage> {
        R::STORAGE
    }

    fn subresources(&self) -> &[Subresource] {
        R::SUBRESOURCES
    }

    fn scale_paths(&self) -> Option<ScalePaths> {
        R::SCALE
    }

    fn schema(&self) -> Option<&Type> {
        Some(schema_of::<R>())
    }

    fn definition(&self) -> &str {
        &schema_of::<R>().name
    }

    fn add_schema(&self, generator: &mut SchemaGenerator) -> String {
        generator.subschema_for::<R::Object>();
        R::Object::schema_name().into_owned()
    }

    fn decode(&self, body: &[u8], encoding: Encoding, validation: FieldValidation) -> Result<Decoded, Status> {
        let document = document::parse(body, encoding)
            .map_err(|e| Status::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
        Self::check(document.value, document.duplicates, validation)
    }

    fn decode_value(&self, value: Value, validation: FieldValidation) -> Result<Decoded, Status> {
        Self::check(value, Vec::new(), validation)
    }

    fn set_defaults(&self, object: &mut Value) {
        R::set_defaults(object);
    }

    fn prepare_create(&self, object: &mut Value, context: &Context) {
        metadata::prepare_create(object);
        if Self::has_status() && !R::STATUS_ON_CREATE {
            value::set(object, &["status"], json!({}));
        }
        if R::GENERATION {
            value::set(object, &["metadata", "generation"], json!(1));
        }
        R::prepare_create(object, context);
        fill_counts(object, R::STATUS_COUNTS);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, subresource: Option<&str>, context: &Context) {
        metadata::prepare_update(new, old);
        if Self::has_status() {
            match subresource {
                None => value::copy(new, old, &["status"]),
                Some("status") => value::copy_all_but(new, old, &["metadata", "status"]),
                Some(_) => {}
            }
        }
        R::prepare_update(new, old, subresource, context);
        fill_counts(new, R::STATUS_COUNTS);
        if R::GENERATION && subresource != Some("status") && new.get(R::COUNTED) != old.get(R::COUNTED) {
            let generation = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], json!(generation + 1));
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match Self::parse(object) {
            Ok(parsed) => {
                if R::STORAGE.is_some() {
                    metadata::validate(parsed.metadata(), R::SCOPE, R::NAME_RULE, &mut errors);
                }
                R::validate(&parsed, &mut errors);
                R::validate_create(&parsed, &mut errors);
            }
            Err(error) => errors.push(error),
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, subresource: Option<&str>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (Self::parse(new), Self::parse(old)) {
            (Ok(new), Ok(old)) => {
                metadata::validate_update(new.metadata(), old.metadata(), &mut errors);
                if subresource != Some("status") {
                    R::validate(&new, &mut errors);
                }
                R::validate_update(&new, &old, subresource, &mut errors);
            }
            (Err(error), _) | (_, Err(error)) => errors.push(error),
        }
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let Ok(parsed) = Self::parse(object) else { return Vec::new() };
        let mut warnings = metadata::warnings(parsed.metadata());
        warnings.extend(R::warnings(&parsed));
        warnings.extend(R::NOT_ENFORCED.map(|why| not_enforced(&R::NAMES, why)));
        warnings
    }

    fn not_enforced(&self) -> Option<&'static str> {
        R::NOT_ENFORCED
    }

    fn prepare_delete(&self, object: &mut Value, now: Timestamp) {
        R::prepare_delete(object, now);
    }

    fn creates_on_update(&self) -> bool {
        R::CREATES_ON_UPDATE
    }

    fn updates_unconditionally(&self) -> bool {
        R::UPDATES_UNCONDITIONALLY
    }

    fn grace_period(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        R::grace_period(object, requested)
    }

    fn returns_deleted(&self) -> bool {
        R::RETURNS_DELETED
    }

    fn time_to_live(&self) -> Option<u64> {
        R::TIME_TO_LIVE
    }

    fn selectable_fields(&self) -> &[&'static str] {
        R::FIELDS
    }

    fn field(&self, object: &Value, field: &str) -> Option<String> {
        let of_metadata = match (field, R::SCOPE) {
            ("metadata.name", _) => Some("name"),
            ("metadata.namespace", Scope::Namespaced) => Some("namespace"),
            _ => None,
        };
        if let Some(member) = of_metadata {
            return Some(value::text(object, &["metadata", member]).to_owned());
        }
        R::FIELDS.contains(&field).then(|| R::field(object, field))
    }

    fn columns(&self) -> Vec<Column> {
        columns::of(&R::NAMES)
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match Self::parse(object) {
            Ok(parsed) => R::cells(&parsed, now),
            Err(_) => {
                let name = Value::from(value::text(object, &["metadata", "name"]));
                let unknown = std::iter::repeat_n(Value::from("<unknown>"), self.columns().len().saturating_sub(1));
                std::iter::once(name).chain(unknown).collect()
            }
        }
    }

    fn to_storage(&self, object: Value) -> Value {
        R::to_storage(object)
    }

    fn from_storage(&self, object: Value) -> Value {
        R::from_storage(object)
    }

    fn is_storage_version(&self) -> bool {
        R::STORAGE_VERSION
    }
}
