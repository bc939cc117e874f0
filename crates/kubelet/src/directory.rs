//! What runs on this node, for those who only look: the HTTP server and the metrics.
//!
//! Workers put in what they know after every look at the runtime; nobody decides anything from here.

use parking_lot::RwLock;
use pod_lifecycle::{ContainerSeen, PodSeen, core::Pod, names};
use std::{collections::BTreeMap, sync::Arc};

/// One pod as the node knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// With the status as the node last computed it.
    pub pod: Arc<Pod>,
    pub seen: Arc<PodSeen>,
}

impl Entry {
    /// The newest container of that name; the one before it when `previous`.
    pub fn container(&self, name: &str, previous: bool) -> Option<&ContainerSeen> {
        let mut all = self.seen.containers.iter().filter(|c| c.name == name);
        if previous { all.nth(1) } else { all.next() }
    }

    /// The sandbox that is ready, which port-forwards connect to.
    pub fn sandbox(&self) -> Option<&str> {
        self.seen.ready_sandbox().map(|s| s.id.as_str())
    }
}

/// All pods of this node, by uid.
#[derive(Debug, Default)]
pub struct Directory {
    pods: RwLock<BTreeMap<String, Entry>>,
}

impl Directory {
    pub fn list(&self) -> Vec<Entry> {
        self.pods.read().values().cloned().collect()
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<Entry> {
        let pods = self.pods.read();
        let mut found = pods.values().filter(|e| names::namespace(&e.pod) == namespace && names::name(&e.pod) == name);
        // A pod that was deleted and made anew under its name may be here twice for a moment: the younger counts.
        let first = found.next()?;
        let newest = found.fold(first, |a, b| {
            if a.pod.metadata.creation_timestamp < b.pod.metadata.creation_timestamp { b } else { a }
        });
        Some(newest.clone())
    }

    pub fn get(&self, uid: &str) -> Option<Entry> {
        self.pods.read().get(uid).cloned()
    }

    /// The pod that a container or sandbox belongs to.
    pub fn owner_of(&self, id: &str) -> Option<String> {
        let pods = self.pods.read();
        let owns =
            |e: &&Entry| e.seen.containers.iter().any(|c| c.id == id) || e.seen.sandboxes.iter().any(|s| s.id == id);
        pods.values().find(owns).map(|e| names::uid(&e.pod).to_owned())
    }

    pub(crate) fn put(&self, pod: Arc<Pod>, seen: Arc<PodSeen>) {
        self.pods.write().insert(names::uid(&pod).to_owned(), Entry { pod, seen });
    }

    pub(crate) fn remove(&self, uid: &str) {
        self.pods.write().remove(uid);
    }
}
