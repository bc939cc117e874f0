//! What every part of the server stands on: the configuration, the clock, chance, the store, and what is served.

use std::sync::Arc;

use api_rules::{Kind, KindRef, Scope, encode, kinds};
use arc_swap::{ArcSwap, Guard};
use component::Clock;
use serde_json::{Value, json};
use store::{Adapt, Backend, Field, Object, Options, Resource, ResourceRef, Selects, Snapshot, Store};

use crate::{config::Config, protobuf, random::Random, registry::Registry};

pub use crate::registry::Served;

/// Shared by all requests and background tasks.
pub struct Core {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<Random>,
    pub store: Arc<Store>,
    built_in: Vec<Arc<Served>>,
    registry: ArcSwap<Registry>,
}

impl Core {
    /// Starts the store on `backend`. Must be called within a tokio runtime.
    pub fn start(config: Config, clock: Arc<dyn Clock>, random: Arc<Random>, backend: Arc<dyn Backend>) -> Self {
        let stored = kinds::all().iter().copied().filter(|kind| kind.is_storage_version());
        let resources = stored.filter_map(|kind| resource(&KindRef::BuiltIn(kind))).collect();
        let options = Options { prefix: config.etcd_prefix.clone(), rewrite: protobuf_to_json, ..Options::default() };
        let store = Store::start(backend, resources, options);
        let built_in = kinds::all().iter().copied().filter(|kind| !kind.names().plural.is_empty());
        let built_in: Vec<_> = built_in
            .map(|kind| {
                let id = kind.storage().and_then(|storage| store.find(storage.prefix));
                Arc::new(Served::new(KindRef::BuiltIn(kind), id))
            })
            .collect();
        let registry = ArcSwap::from_pointee(Registry::new(&built_in, &[], None));
        Self { config, clock, random, store, built_in, registry }
    }

    /// What is served now.
    pub fn registry(&self) -> Guard<Arc<Registry>> {
        self.registry.load()
    }

    /// Serves these custom resources from now on, and no others.
    pub fn serve(&self, custom: &[Arc<Served>]) {
        let registry = Registry::new(&self.built_in, custom, Some(&self.registry.load()));
        self.registry.store(Arc::new(registry));
    }

    /// What a path names.
    pub fn served(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Served>> {
        self.registry.load().served(group, version, resource).cloned()
    }

    /// The stored resource behind a group and plural name; `None` for what is not served or not stored.
    pub fn resource(&self, group: &str, resource: &str) -> Option<ResourceRef> {
        self.registry.load().resource(group, resource).cloned()
    }

    /// The object as the cache has it now, without asking etcd whether it is the newest.
    /// `namespace` is empty for cluster-scoped resources.
    pub fn cached(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.store.cached(&self.resource(group, resource)?, namespace, name)
    }

    /// All objects as the cache has them now, in key order; `None` for what is not cached.
    pub fn cached_list(&self, group: &str, resource: &str) -> Option<Snapshot> {
        self.store.snapshot(&self.resource(group, resource)?)
    }

    /// The time as objects carry it.
    pub fn timestamp(&self) -> String {
        format_time(self.clock.now())
    }
}

/// An object for those who only look at it: without its managedFields, which make up much of what reading it costs.
pub fn without_owners(object: &Object) -> Value {
    api_rules::apply::split(&object.json()).map_or_else(|_| object.value(), |split| split.object)
}

/// RFC 3339 in whole seconds, as `metav1.Time`.
pub fn format_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Upstream stores protobuf; such an object is read once, and is JSON from its next write on.
fn protobuf_to_json(stored: &[u8]) -> Result<Vec<u8>, String> {
    protobuf::to_json(stored).map(|object| encode(&object)).map_err(|error| error.to_string())
}

/// How the store keeps a kind, given in its storage version; `None` for what is not stored.
pub fn resource(kind: &KindRef) -> Option<Resource> {
    let (names, storage) = (kind.names(), kind.storage()?);
    let fields: Vec<Field> = kind.stored_fields().iter().map(|label| field(&**kind, label)).collect();
    let indexed = (names.plural == "pods").then(|| fields.iter().position(|f| f.label == "spec.nodeName")).flatten();
    let adapt = match kind {
        KindRef::BuiltIn(kind) => from_other_versions(*kind),
        KindRef::Custom(kind) => {
            let kind = kind.clone();
            Some(Adapt::new(move |stored| kind.adapt(stored)))
        }
    };
    Some(Resource {
        folder: storage.prefix.into(),
        label: names.group_resource().to_string().into(),
        namespaced: kind.scope() == Scope::Namespaced,
        cached: storage.cached,
        selects: Selects { fields, indexed },
        adapt,
    })
}

/// So far into an object its `apiVersion` is looked for.
const LEAD: usize = 128;

/// Objects of a kind that upstream stored in another of its versions.
fn from_other_versions(kind: &'static dyn Kind) -> Option<Adapt> {
    let others: Vec<_> = kinds::all()
        .iter()
        .copied()
        .filter(|other| !other.is_storage_version() && other.storage() == kind.storage())
        .map(|other| (format!(r#""apiVersion":"{}""#, other.names().api_version()).into_bytes(), other))
        .collect();
    if others.is_empty() || kind.storage().is_none() {
        return None;
    }
    let adapt = move |stored: &[u8]| {
        let lead = &stored[..stored.len().min(LEAD)];
        let of = |mark: &[u8]| lead.windows(mark.len()).any(|window| window == mark);
        let Some((_, kind)) = others.iter().find(|(mark, _)| of(mark)) else { return Ok(None) };
        let object: Value = serde_json::from_slice(stored).map_err(|error| error.to_string())?;
        Ok(Some(encode(&kind.to_storage(object))))
    };
    Some(Adapt::new(adapt))
}

fn field(kind: &dyn Kind, label: &'static str) -> Field {
    let nothing: Value = json!({});
    let field = Field::dotted(label).with_default(kind.field(&nothing, label).unwrap_or_default());
    match label {
        // Who reported an event stands in one of two places.
        "source" => field.or("source.component").or("reportingComponent"),
        // A Job's selector has a word of its own for it.
        "status.successful" => field.or("status.succeeded"),
        _ => field,
    }
}
