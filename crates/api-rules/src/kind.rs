//! What a kind is to the API server: an object-safe interface over JSON values.
//!
//! A built-in kind implements it through its Rust type (`typed.rs`), a custom resource through its schema; whoever
//! serves requests cannot tell them apart. Everything here is pure: the time and the requester are arguments, and
//! nothing is stored, authorized or admitted.

use std::{borrow::Cow, collections::BTreeMap, ops::Deref, sync::Arc};

use api_types::{
    field::FieldError,
    names::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource},
    status::Status,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{apply, document::Encoding, schema::Type};

/// How a kind is called. An empty `plural` means that it has no path of its own: it is only ever the body of a
/// subresource (`Scale`, `Eviction`, `TokenRequest`). The names of custom kinds are [interned](crate::intern).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub list_kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
}

impl Names {
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group, self.version, self.kind)
    }

    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group, self.version, self.plural)
    }

    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group, self.kind)
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group, self.plural)
    }

    pub fn api_version(&self) -> String {
        api_types::names::api_version(self.group, self.version)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// Where a stored kind lies: `/registry/<prefix>/[<namespace>/]<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Upstream's key prefix, without slashes around it (`services/specs`, `minions`).
    pub prefix: &'static str,
    /// False for what is read from etcd rather than from the watch cache.
    pub cached: bool,
}

/// A path below an object.
#[derive(Debug)]
pub struct Subresource {
    /// `status`, `scale`, `exec`.
    pub name: &'static str,
    /// The kind of its body.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: &'static [&'static str],
}

/// What to do about unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// A body that was understood: normalised, without unknown fields, `apiVersion` and `kind` set.
#[derive(Debug)]
pub struct Decoded {
    pub object: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Timestamp,
    pub user: Requester<'a>,
}

/// The authenticated user of a request.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    pub name: &'a str,
    pub uid: &'a str,
    pub groups: &'a [String],
    pub extra: &'a BTreeMap<String, Vec<String>>,
}

/// A column of a `Table`; `description` is what `kubectl` would show for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Cow<'static, str>,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub type_: Cow<'static, str>,
    /// `name` for the column that names the object, else mostly empty.
    pub format: Cow<'static, str>,
    pub description: Cow<'static, str>,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// Where the `scale` subresource finds its numbers, as paths of member names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: &'static [&'static str],
    pub status_replicas: &'static [&'static str],
    pub selector: SelectorPath,
}

/// Where the selector of a scale is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorPath {
    None,
    /// Leads to a `LabelSelector`.
    Selector(&'static [&'static str]),
    /// Leads to a map of labels that all have to be there.
    Labels(&'static [&'static str]),
    /// Leads to the text of a selector.
    Text(&'static [&'static str]),
}

/// A kind that is served: one that is compiled in, or one that a definition brought.
#[derive(Clone)]
pub enum KindRef {
    BuiltIn(&'static dyn Kind),
    Custom(Arc<dyn Kind>),
}

impl Deref for KindRef {
    type Target = dyn Kind;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(kind) => *kind,
            Self::Custom(kind) => &**kind,
        }
    }
}

/// Everything the API server must know about a kind.
pub trait Kind: Send + Sync {
    fn names(&self) -> &Names;
    fn scope(&self) -> Scope;
    /// The verbs of the resource itself, in upstream's order of discovery.
    fn verbs(&self) -> &'static [&'static str];
    /// `None` for kinds that are answered and forgotten (reviews).
    fn storage(&self) -> Option<Storage>;
    fn subresources(&self) -> &[Subresource];
    /// Where `scale` reads and writes; `None` without such a subresource.
    fn scale_paths(&self) -> Option<ScalePaths>;

    /// The structure of the kind: what decoding and strategic merge go by. `None` for custom kinds, which have a schema of
    /// their own and no strategic merge.
    fn schema(&self) -> Option<&Type>;
    /// How objects of the kind merge and are owned; what server-side apply goes by. Kinds without a schema of built-in
    /// types compile theirs once ([`apply::structural`]) and hand it out here.
    fn typing(&self) -> apply::Typing {
        self.schema().map_or_else(|| apply::structural(&Value::Null), apply::built_in)
    }
    /// What the kind is called among the OpenAPI definitions.
    fn definition(&self) -> &str;
    /// Registers the JSON schema of the kind and of all it refers to; answers the name of its definition.
    fn add_schema(&self, generator: &mut schemars::SchemaGenerator) -> String;

    /// Reads a body of this kind: 400 for what does not fit the type, or for unknown and duplicate fields when strict.
    fn decode(&self, body: &[u8], encoding: Encoding, validation: FieldValidation) -> Result<Decoded, Status>;
    /// The same for a value that is parsed already, such as the result of a patch.
    fn decode_value(&self, value: Value, validation: FieldValidation) -> Result<Decoded, Status>;
    fn set_defaults(&self, object: &mut Value);

    /// Drops what a client may not set when it creates, and starts `metadata.generation` where the kind has one.
    fn prepare_create(&self, object: &mut Value, context: &Context);
    /// Puts back what this request (`None`: the object itself) may not change, and bumps `metadata.generation`.
    fn prepare_update(&self, new: &mut Value, old: &Value, subresource: Option<&str>, context: &Context);

    /// Metadata and the kind's own fields. The name must have been generated before.
    fn validate_create(&self, object: &Value) -> Vec<FieldError>;
    fn validate_update(&self, new: &Value, old: &Value, subresource: Option<&str>) -> Vec<FieldError>;
    /// Texts for `Warning` headers about an object that is valid all the same.
    fn warnings(&self, object: &Value) -> Vec<String>;
    /// Why objects of the kind have no effect yet, if they have none; part of their warnings.
    fn not_enforced(&self) -> Option<&'static str> {
        None
    }

    /// The text for a `Warning` header that every request for this kind is answered with.
    fn deprecation(&self) -> Option<&str> {
        None
    }
    /// Changes an object when it is deleted for the first time, before anything decides whether it goes at once.
    fn prepare_delete(&self, _object: &mut Value, _now: Timestamp) {}

    /// Whether PUT of a missing object creates it.
    fn creates_on_update(&self) -> bool;
    /// Whether PUT without a resourceVersion is taken as "whatever is there".
    fn updates_unconditionally(&self) -> bool;
    /// The grace period in seconds that a delete with the wish `requested` gets; `None` if the kind goes at once.
    fn grace_period(&self, object: &Value, requested: Option<i64>) -> Option<i64>;
    /// Whether a delete answers with the object rather than with a `Status`, as upstream does for some kinds.
    fn returns_deleted(&self) -> bool;
    /// Seconds until the store forgets an object by itself.
    fn time_to_live(&self) -> Option<u64>;

    /// What field selectors may name, besides `metadata.name` and `metadata.namespace`.
    fn selectable_fields(&self) -> &[&'static str];
    /// The selectable fields of all versions that share the storage.
    fn stored_fields(&self) -> &[&'static str] {
        self.selectable_fields()
    }
    /// The value of a selectable field (the two of metadata included); unset reads as `""`.
    fn field(&self, object: &Value, field: &str) -> Option<String>;

    fn columns(&self) -> Vec<Column>;
    /// One cell for each column.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;

    /// From this version to the one that is stored. Identity unless versions share a storage.
    fn to_storage(&self, object: Value) -> Value;
    #[expect(clippy::wrong_self_convention, reason = "the pair of to_storage; it needs the kind, not an instance")]
    fn from_storage(&self, object: Value) -> Value;
    /// False if stored bytes must pass `from_storage` before they are served.
    fn is_storage_version(&self) -> bool;
    /// Brings what is stored, in whatever version and after whatever schema it was written, into the storage version as it
    /// is served now. `None` if it is that already, as built-in kinds always are.
    fn adapt(&self, _stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}
