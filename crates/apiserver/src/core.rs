//! What every part of the server stands on: the configuration, the clock, the store, and which stored resource
//! belongs to which kind.

use std::{collections::HashMap, sync::Arc};

use component::Clock;
use store::{Object, ResourceId, Snapshot, Store};

use crate::config::Config;

/// Shared by all requests and background tasks.
pub struct Core {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<Store>,
    resources: HashMap<(&'static str, &'static str), ResourceId>,
}

impl Core {
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        store: Arc<Store>,
        resources: HashMap<(&'static str, &'static str), ResourceId>,
    ) -> Self {
        Self { config, clock, store, resources }
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
}
