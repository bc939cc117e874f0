//! What every part of the server stands on: the configuration, the clock, chance, the store, and what is served.

use std::{collections::HashMap, sync::Arc};

use api_rules::{Kind, Scope, encode, kinds};
use api_types::GroupResource;
use component::Clock;
use serde_json::{Value, json};
use store::{Backend, Field, Object, Options, Resource, ResourceId, Selects, Snapshot, Store};

use crate::{config::Config, protobuf, random::Random};

/// Shared by all requests and background tasks.
pub struct Core {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<Random>,
    pub store: Arc<Store>,
    /// By plural name.
    served: HashMap<&'static str, Vec<Arc<Served>>>,
    resources: HashMap<(&'static str, &'static str), ResourceId>,
}

/// A resource in one version, with all that answering for it needs, looked up once per request.
pub struct Served {
    pub kind: &'static dyn Kind,
    /// Where it is stored; `None` for what is answered and forgotten.
    pub id: Option<ResourceId>,
    pub group_resource: GroupResource,
    pub api_version: String,
}

impl Served {
    pub fn is_namespaced(&self) -> bool {
        self.kind.scope() == Scope::Namespaced
    }
}

impl Core {
    /// Starts the store on `backend`. Must be called within a tokio runtime.
    pub fn start(config: Config, clock: Arc<dyn Clock>, random: Arc<Random>, backend: Arc<dyn Backend>) -> Self {
        let stored = stored_resources();
        let options = Options { prefix: config.etcd_prefix.clone(), rewrite: protobuf_to_json, ..Options::default() };
        let store = Store::start(backend, stored.iter().map(resource).collect(), options);
        let id_of = |kind: &dyn Kind| {
            let prefix = kind.storage()?.prefix;
            stored.iter().position(|k| k.storage().is_some_and(|s| s.prefix == prefix)).map(ResourceId)
        };
        let (mut served, mut resources): (HashMap<_, Vec<_>>, _) = (HashMap::new(), HashMap::new());
        for kind in kinds::all().iter().copied().filter(|kind| !kind.names().plural.is_empty()) {
            let names = kind.names();
            let id = id_of(kind);
            let entry = Served { kind, id, group_resource: names.group_resource(), api_version: names.api_version() };
            served.entry(names.plural).or_default().push(Arc::new(entry));
            if let Some(id) = id {
                resources.insert((names.group, names.plural), id);
            }
        }
        Self { config, clock, random, store, served, resources }
    }

    /// What a path names.
    pub fn served(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        let named = |served: &&Arc<Served>| {
            let names = served.kind.names();
            names.group == group && names.version == version
        };
        self.served.get(resource)?.iter().find(named)
    }

    /// The stored resource behind a group and plural name; `None` for what is not served or not stored.
    pub fn resource(&self, group: &str, resource: &str) -> Option<ResourceId> {
        self.resources.get(&(group, resource)).copied()
    }

    /// The object as the cache has it now, without asking etcd whether it is the newest.
    /// `namespace` is empty for cluster-scoped resources.
    pub fn cached(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.store.cached(self.resource(group, resource)?, namespace, name)
    }

    /// All objects as the cache has them now, in key order; `None` for what is not cached.
    pub fn cached_list(&self, group: &str, resource: &str) -> Option<Snapshot> {
        self.store.snapshot(self.resource(group, resource)?)
    }

    /// The time as objects carry it.
    pub fn timestamp(&self) -> String {
        format_time(self.clock.now())
    }
}

/// RFC 3339 in whole seconds, as `metav1.Time`.
pub fn format_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Upstream stores protobuf; such an object is read once, and is JSON from its next write on.
fn protobuf_to_json(stored: &[u8]) -> Result<Vec<u8>, String> {
    protobuf::to_json(stored).map(|object| encode(&object)).map_err(|error| error.to_string())
}

/// One kind for each storage prefix: the one whose version is stored.
fn stored_resources() -> Vec<&'static dyn Kind> {
    kinds::all().iter().copied().filter(|kind| kind.storage().is_some() && kind.is_storage_version()).collect()
}

fn resource(kind: &&'static dyn Kind) -> Resource {
    let names = kind.names();
    let storage = kind.storage().expect("filtered by having one");
    let fields: Vec<Field> = kind.selectable_fields().iter().map(|label| field(*kind, label)).collect();
    let indexed = (names.plural == "pods").then(|| fields.iter().position(|f| f.label == "spec.nodeName")).flatten();
    Resource {
        folder: storage.prefix.into(),
        label: names.group_resource().to_string().into(),
        namespaced: kind.scope() == Scope::Namespaced,
        cached: storage.cached,
        selects: Selects { fields, indexed },
    }
}

fn field(kind: &dyn Kind, label: &'static str) -> Field {
    let nothing: Value = json!({});
    let field = Field::dotted(label).with_default(kind.field(&nothing, label).unwrap_or_default());
    match label {
        // Who reported an event stands in one of two places.
        "source" => field.or("source.component").or("reportingComponent"),
        _ => field,
    }
}
