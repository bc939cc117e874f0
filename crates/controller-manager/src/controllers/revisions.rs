//! The cache of ControllerRevisions, as those who keep a history look them up.

use std::sync::Arc;

use api_types::{k8s_openapi::api::apps::v1::ControllerRevision, object::Object};
use client::{Event, Executor, Index, Store, WorkQueue};
use controllers::adoption;

use crate::kit::{self, Context, Key};

#[derive(Clone)]
pub struct Revisions {
    store: Store<ControllerRevision>,
    /// By the uid of their controller.
    by_owner: Index<ControllerRevision>,
    /// Without a controller, by namespace.
    orphans: Index<ControllerRevision>,
}

impl Revisions {
    pub fn new(context: &Context, executor: &Executor) -> Self {
        let store = kit::observed::<ControllerRevision>(context, executor);
        Self {
            by_owner: store.index(|revision| {
                adoption::controller(&revision.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
            }),
            orphans: store.index(|revision| match adoption::controller(&revision.metadata) {
                None => vec![revision.namespace().to_owned()],
                Some(_) => Vec::new(),
            }),
            store,
        }
    }

    pub async fn synced(&self) {
        self.store.synced().await;
    }

    /// A change of a revision wakes the object of `kind` that controls it.
    pub fn wake_owners(&self, kind: &'static str, queue: &Arc<WorkQueue<Key>>) {
        let queue = queue.clone();
        self.store.on_event(move |event: &Event<ControllerRevision>| {
            for revision in event.both() {
                if let Some(owner) = adoption::controller(&revision.metadata).filter(|owner| owner.kind == kind) {
                    queue.add(Key::new(revision.namespace(), &owner.name));
                }
            }
        });
    }

    /// Those that `owner` controls, and those of its namespace that nobody does.
    pub fn of(&self, owner: &impl Object) -> Vec<Arc<ControllerRevision>> {
        let mut all = self.by_owner.get(owner.uid());
        all.extend(self.orphans.get(owner.namespace()));
        all
    }

    pub fn taken(&self, namespace: &str, name: &str) -> bool {
        self.store.get(namespace, name).is_some()
    }
}
