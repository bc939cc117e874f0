//! Who waits for changes of a resource, indexed so that a change costs only those who may want it.

use std::{collections::HashMap, sync::Arc};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::{bell::Bell, log::Entry};
use crate::{
    backend::Revision,
    object::{Object, split_key},
    resource::{Filter, Resource},
};

/// One watcher as the cache knows it.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) filter: Filter,
    /// Changes up to this revision are of no interest: the watcher started there.
    pub(crate) after: Revision,
    pub(crate) place: Mutex<Place>,
    pub(crate) wake: AtomicWaker,
}

impl Subscriber {
    pub(crate) fn new(filter: Filter, after: Revision) -> Self {
        Self { filter, after, place: Mutex::new(Place::AtHead), wake: AtomicWaker::new() }
    }
}

/// Where a watcher stands. Changed under the table's lock only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has seen all that concerns it.
    AtHead,
    /// The oldest entry that concerns it has this number.
    Behind(u64),
    /// The log was lost as a whole.
    Lost,
}

/// The narrowest index that finds a watcher.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Key(Box<str>),
    Field(Box<str>),
    Namespace(Box<str>),
    Everything,
}

impl Topic {
    fn of(filter: &Filter, resource: &Resource) -> Self {
        if let Some(name) = filter.fields.exact("metadata.name") {
            match &filter.namespace {
                Some(namespace) => return Self::Key(format!("{namespace}/{name}").into()),
                None if !resource.namespaced => return Self::Key(name.into()),
                None => {}
            }
        }
        // The old value of what is not cached is unknown as it changes, and so whom it leaves.
        let indexed = resource.selects.indexed.filter(|_| resource.cached);
        let indexed = indexed.map(|index| resource.selects.fields[index].label.as_ref());
        if let Some(value) = indexed.and_then(|label| filter.fields.exact(label)) {
            return Self::Field(value.into());
        }
        match &filter.namespace {
            Some(namespace) => Self::Namespace(namespace.as_str().into()),
            None => Self::Everything,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    topics: HashMap<Topic, Vec<Arc<Subscriber>>>,
    pub(super) bell: Bell,
}

impl Subscribers {
    pub(crate) fn add(&mut self, subscriber: Arc<Subscriber>, resource: &Resource) {
        self.topics.entry(Topic::of(&subscriber.filter, resource)).or_default().push(subscriber);
    }

    pub(crate) fn remove(&mut self, subscriber: &Arc<Subscriber>, resource: &Resource) {
        let topic = Topic::of(&subscriber.filter, resource);
        if let Some(list) = self.topics.get_mut(&topic) {
            let Some(at) = list.iter().position(|other| Arc::ptr_eq(other, subscriber)) else { return };
            list.swap_remove(at);
            if list.is_empty() {
                self.topics.remove(&topic);
            }
        }
    }

    /// Has those told whom entry `number` concerns, unless they have older ones to read first.
    pub(crate) fn announce(&mut self, number: u64, entry: &Entry, old: Option<&Object>, resource: &Resource) {
        if self.topics.is_empty() {
            return;
        }
        self.announce_to(&Topic::Everything, number, entry, resource);
        let (namespace, _) = split_key(&entry.key);
        if !namespace.is_empty() {
            self.announce_to(&Topic::Namespace(namespace.into()), number, entry, resource);
        }
        self.announce_to(&Topic::Key(entry.key.clone()), number, entry, resource);
        let Some(index) = resource.selects.indexed else { return };
        let value = |object: Option<&Object>| object.and_then(|o| o.field_at(index)).map(Box::<str>::from);
        let (before, after) = (value(old), value(entry.new.as_deref()));
        if before != after
            && let Some(before) = before
        {
            self.announce_to(&Topic::Field(before), number, entry, resource);
        }
        if let Some(after) = after {
            self.announce_to(&Topic::Field(after), number, entry, resource);
        }
    }

    fn announce_to(&mut self, topic: &Topic, number: u64, entry: &Entry, resource: &Resource) {
        for subscriber in self.topics.get(topic).into_iter().flatten() {
            let mut place = subscriber.place.lock();
            let wanted = *place == Place::AtHead
                && entry.revision > subscriber.after
                && entry.concerns(&subscriber.filter, &resource.selects);
            if wanted {
                *place = Place::Behind(number);
                self.bell.add(subscriber);
            }
        }
    }

    pub(crate) fn lose_all(&mut self) {
        for subscriber in self.topics.values().flatten() {
            *subscriber.place.lock() = Place::Lost;
            subscriber.wake.wake();
        }
    }
}
