//! The cache of one watch, as its users have it.
//!
//! Readers get shared objects, never copies. A subscriber that is slow is not queued for without limit: of each object
//! it sees the newest state only, together with the state it saw before.

use std::{any::Any, marker::PhantomData, sync::Arc, time::Duration};

use api_types::object::Object;
use tokio_util::sync::DropGuard;

use crate::{
    cache::{Cache, Cached},
    subscription::Subscription,
};

/// A change of one object.
#[derive(Debug)]
pub enum Event<K: ?Sized> {
    /// `old` is what was known before; none for an object that is new.
    Applied {
        old: Option<Arc<K>>,
        new: Arc<K>,
    },
    Deleted(Arc<K>),
}

impl<K: ?Sized> Clone for Event<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied { old, new } => Self::Applied { old: old.clone(), new: new.clone() },
            Self::Deleted(object) => Self::Deleted(object.clone()),
        }
    }
}

impl<K: ?Sized> Event<K> {
    /// The object as it is, or was last.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted(object) => object,
        }
    }

    /// The object before and after.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        let (old, new) = match self {
            Self::Applied { old, new } => (old.as_ref(), Some(new)),
            Self::Deleted(object) => (Some(object), None),
        };
        old.into_iter().chain(new)
    }
}

impl Event<dyn Cached> {
    pub(crate) fn typed<K: Object>(self) -> Event<K> {
        match self {
            Self::Applied { old, new } => Event::Applied { old: old.map(typed), new: typed(new) },
            Self::Deleted(object) => Event::Deleted(typed(object)),
        }
    }
}

/// The type of an object of a cache whose type is known from its handle.
fn typed<K: Object>(object: Arc<dyn Cached>) -> Arc<K> {
    let object: Arc<dyn Any + Send + Sync> = object;
    object.downcast().expect("a cache is filled with objects of the type of its handles")
}

/// A handle on a shared cache. The watch behind it ends with its last handle.
pub struct Store<K> {
    pub(crate) cache: Arc<Cache>,
    watch: Arc<DropGuard>,
    of: PhantomData<fn() -> K>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), watch: self.watch.clone(), of: PhantomData }
    }
}

impl<K: Object> Store<K> {
    /// Whoever fills the cache puts objects of this type into it, and no others.
    pub(crate) fn new(cache: Arc<Cache>, watch: Arc<DropGuard>) -> Self {
        Self { cache, watch, of: PhantomData }
    }

    /// `namespace` is empty for kinds without one.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let object = self.cache.objects.read().get(namespace, name).cloned();
        object.map(typed)
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.cache.objects.read().all().cloned().map(typed).collect()
    }

    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.cache.objects.read().all_in(namespace).cloned().map(typed).collect()
    }

    pub fn len(&self) -> usize {
        self.cache.objects.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.cache.objects.read().is_empty()
    }

    /// Groups the objects by keys of the caller's making, from now on.
    pub fn index(&self, keys: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        let number = self.cache.index(Box::new(move |object| {
            let object: &dyn Any = object;
            object.downcast_ref().map(&keys).unwrap_or_default()
        }));
        Index { number, store: self.clone() }
    }

    /// Calls `handler` for every object there is and for every change from then on, in order, in the watching task:
    /// it must be quick, and must not register another. A handler lives as long as the store.
    pub fn on_event(&self, mut handler: impl FnMut(&Event<K>) + Send + 'static) {
        self.cache.while_wanted(Box::new(move |event| {
            handler(&event.clone().typed());
            true
        }));
    }

    /// The objects there are, then every change; changes of one object that wait are merged.
    pub fn subscribe(&self) -> Subscription<K> {
        Subscription::new(self.clone())
    }

    /// Returns once the first list is in.
    pub async fn synced(&self) {
        let mut lists = self.cache.lists.subscribe();
        // The sender lives in `self.cache`, so that this cannot fail.
        let _ = lists.wait_for(|lists| *lists > 0).await;
    }

    pub fn has_synced(&self) -> bool {
        *self.cache.lists.borrow() > 0
    }

    /// For how long the store has followed the server without a gap that matters; none while it does not.
    ///
    /// Silence of an object means something only if we were listening.
    pub fn listening_for(&self) -> Option<Duration> {
        self.cache.listening_for()
    }

    /// Everything up to this revision is in; 0 before the first list.
    pub fn revision(&self) -> u64 {
        self.cache.revision()
    }

    /// Waits until the store has reached `revision`; false when `timeout` came first.
    pub async fn wait_revision(&self, revision: u64, timeout: Duration) -> bool {
        let mut reached = self.cache.revision.subscribe();
        let waiting = reached.wait_for(|reached| *reached >= revision);
        tokio::time::timeout(timeout, waiting).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Waits until no object of this name has this uid; false when `timeout` came first.
    pub async fn wait_gone(&self, namespace: &str, name: &str, uid: &str, timeout: Duration) -> bool {
        let mut reached = self.cache.revision.subscribe();
        let gone = |_: &u64| self.get(namespace, name).is_none_or(|object| object.uid() != uid);
        tokio::time::timeout(timeout, reached.wait_for(gone)).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Lists again, for when it is unknown what the server did; false when `timeout` came first.
    pub async fn list_again(&self, timeout: Duration) -> bool {
        let mut lists = self.cache.lists.subscribe();
        let before = *lists.borrow_and_update();
        self.cache.list_again.notify_one();
        tokio::time::timeout(timeout, lists.wait_for(|lists| *lists > before)).await.is_ok_and(|lists| lists.is_ok())
    }
}

/// Objects of a [`Store`] by keys of its user's making.
pub struct Index<K> {
    number: usize,
    store: Store<K>,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { number: self.number, store: self.store.clone() }
    }
}

impl<K: Object> Index<K> {
    /// Sorted by namespace and name.
    pub fn get(&self, key: &str) -> Vec<Arc<K>> {
        self.store.cache.objects.read().indexed(self.number, key).iter().cloned().map(typed).collect()
    }

    pub fn store(&self) -> &Store<K> {
        &self.store
    }
}

#[cfg(test)]
mod tests;
