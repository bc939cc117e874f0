//! Following a store at one's own pace.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use api_types::object::Object;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::{Event, Name, Store};

/// Changes, in the order in which objects changed first since they were last seen.
pub struct Subscription<K> {
    waiting: Arc<Waiting<K>>,
    ready: VecDeque<Event<K>>,
    _store: Store<K>,
}

struct Waiting<K> {
    state: Mutex<Merged<K>>,
    news: Notify,
}

/// Changes not yet seen, at most one an object.
struct Merged<K> {
    order: VecDeque<(Name, Name)>,
    changes: HashMap<(Name, Name), Change<K>>,
}

struct Change<K> {
    /// What the subscriber saw last.
    seen: Option<Arc<K>>,
    now: Option<Arc<K>>,
}

impl<K> Default for Merged<K> {
    fn default() -> Self {
        Self { order: VecDeque::new(), changes: HashMap::new() }
    }
}

impl<K: Object> Merged<K> {
    fn merge(&mut self, event: &Event<K>) {
        let object = event.object();
        let place = (Name::from(object.namespace()), Name::from(object.name()));
        let (before, now) = match event {
            Event::Applied { old, new } => (old.clone(), Some(new.clone())),
            Event::Deleted(object) => (Some(object.clone()), None),
        };
        if let Some(change) = self.changes.get_mut(&place) {
            change.now = now;
        } else {
            self.order.push_back(place.clone());
            self.changes.insert(place, Change { seen: before, now });
        }
    }

    fn pop(&mut self, ready: &mut VecDeque<Event<K>>) -> bool {
        let Some(change) = self.order.pop_front().and_then(|place| self.changes.remove(&place)) else {
            return false;
        };
        match (change.seen, change.now) {
            (None, None) => {}
            (Some(seen), None) => ready.push_back(Event::Deleted(seen)),
            (Some(seen), Some(now)) if seen.uid() != now.uid() => {
                ready.push_back(Event::Deleted(seen));
                ready.push_back(Event::Applied { old: None, new: now });
            }
            (old, Some(new)) => ready.push_back(Event::Applied { old, new }),
        }
        true
    }
}

/// The store's end of a subscription.
pub(crate) struct Mailbox<K>(Weak<Waiting<K>>);

impl<K: Object> Mailbox<K> {
    /// False when nobody listens any more.
    pub(crate) fn put(&self, event: &Event<K>) -> bool {
        let Some(waiting) = self.0.upgrade() else { return false };
        waiting.state.lock().merge(event);
        waiting.news.notify_one();
        true
    }
}

impl<K: Object> Subscription<K> {
    pub(crate) fn new(store: Store<K>) -> (Self, Mailbox<K>) {
        let waiting = Arc::new(Waiting { state: Mutex::new(Merged::default()), news: Notify::new() });
        let mailbox = Mailbox(Arc::downgrade(&waiting));
        (Self { waiting, ready: VecDeque::new(), _store: store }, mailbox)
    }

    /// The next change; waits for it. Cancel safe.
    pub async fn next(&mut self) -> Event<K> {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.waiting.news.notified().await;
        }
    }

    /// The next change, if there is one.
    pub fn try_next(&mut self) -> Option<Event<K>> {
        while self.ready.is_empty() {
            if !self.waiting.state.lock().pop(&mut self.ready) {
                break;
            }
        }
        self.ready.pop_front()
    }
}
