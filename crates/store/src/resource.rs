//! What the store must know of a resource, and what a list or watch selects from it.

use std::{borrow::Cow, fmt, sync::Arc};

use api_types::selector::{FieldSelector, Selector};

use crate::object::Object;

/// Brings a stored JSON value into the form that is served; `None` leaves it as it is.
#[derive(Clone)]
pub struct Adapt(Arc<AdaptFn>);

type AdaptFn = dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, String> + Send + Sync;

impl Adapt {
    pub fn new(adapt: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(adapt))
    }

    pub(crate) fn apply(&self, json: &[u8]) -> Result<Option<Vec<u8>>, String> {
        (self.0)(json)
    }
}

impl fmt::Debug for Adapt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Adapt")
    }
}

/// One selectable field: found at `path`, and if nothing is there at the next path; else `default`.
/// Booleans count as `true` and `false`, numbers as their digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub label: Cow<'static, str>,
    pub paths: Vec<Vec<String>>,
    pub default: Cow<'static, str>,
}

impl Field {
    /// The usual case: the label is the path, and what is absent is empty.
    pub fn dotted(label: impl Into<Cow<'static, str>>) -> Self {
        let label = label.into();
        let path = label.split('.').map(str::to_owned).collect();
        Self { label, paths: vec![path], default: Cow::Borrowed("") }
    }

    pub fn or(mut self, path: &str) -> Self {
        self.paths.push(path.split('.').map(str::to_owned).collect());
        self
    }

    pub fn with_default(mut self, default: impl Into<Cow<'static, str>>) -> Self {
        self.default = default.into();
        self
    }
}

/// The selectable fields of a resource beyond `metadata.name` and `metadata.namespace`, which all have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selects {
    pub fields: Vec<Field>,
    /// Watches that fix this field are woken by its value alone (pods: `spec.nodeName`).
    pub indexed: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Resource {
    /// Upstream's storage folder: `pods`, `minions`, `services/specs`, `apiregistration.k8s.io/apiservices`.
    pub folder: Cow<'static, str>,
    /// Name in metrics: `pods`, `deployments.apps`.
    pub label: Cow<'static, str>,
    pub namespaced: bool,
    /// If not, reads go to the backend, and changes only pass through the log (events).
    pub cached: bool,
    pub selects: Selects,
    /// For what is not stored as it is served: custom resources, whose schema may have changed since.
    pub adapt: Option<Adapt>,
}

/// What a list or watch wants of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub namespace: Option<String>,
    pub labels: Selector,
    pub fields: FieldSelector,
}

impl Filter {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::default() }
    }

    /// Whether namespace and name, which the key tells, decide alone.
    pub fn is_by_key(&self) -> bool {
        self.labels.is_everything() && self.fields.requirements.iter().all(|r| r.field.starts_with("metadata."))
    }

    pub fn matches(&self, object: &Object, selects: &Selects) -> bool {
        self.matches_key(object.namespace(), object.name())
            && self.labels.matches(&object.labels())
            && self.fields.matches(|field| object.field(field, selects))
    }

    /// False if the key alone rules the object out.
    pub fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.fields.exact("metadata.name").is_none_or(|wanted| wanted == name)
    }
}
