//! Following a store at one's own pace.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use api_types::object::Object;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    cache::{Cached, Name},
    store::{Event, Store},
};

/// Changes, in the order in which objects changed first since they were last seen.
pub struct Subscription<K> {
    waiting: Arc<Waiting>,
    ready: VecDeque<Event<dyn Cached>>,
    _store: Store<K>,
}

struct Waiting {
    state: Mutex<Merged>,
    news: Notify,
}

/// Changes not yet seen, at most one an object.
#[derive(Default)]
struct Merged {
    order: VecDeque<(Name, Name)>,
    changes: HashMap<(Name, Name), Change>,
}

struct Change {
    /// What the subscriber saw last.
    seen: Option<Arc<dyn Cached>>,
    now: Option<Arc<dyn Cached>>,
}

impl Merged {
    fn merge(&mut self, event: &Event<dyn Cached>) {
        let place = event.object().identity().place();
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

    fn pop(&mut self, ready: &mut VecDeque<Event<dyn Cached>>) -> bool {
        let Some(change) = self.order.pop_front().and_then(|place| self.changes.remove(&place)) else {
            return false;
        };
        match (change.seen, change.now) {
            (None, None) => {}
            (Some(seen), None) => ready.push_back(Event::Deleted(seen)),
            (Some(seen), Some(now)) if seen.identity().uid != now.identity().uid => {
                ready.push_back(Event::Deleted(seen));
                ready.push_back(Event::Applied { old: None, new: now });
            }
            (old, Some(new)) => ready.push_back(Event::Applied { old, new }),
        }
        true
    }
}

/// The store's end of a subscription.
pub(crate) struct Mailbox(Weak<Waiting>);

impl Mailbox {
    /// False when nobody listens any more.
    pub(crate) fn put(&self, event: &Event<dyn Cached>) -> bool {
        let Some(waiting) = self.0.upgrade() else { return false };
        waiting.state.lock().merge(event);
        waiting.news.notify_one();
        true
    }
}

impl<K: Object> Subscription<K> {
    pub(crate) fn new(store: Store<K>) -> Self {
        let waiting = Arc::new(Waiting { state: Mutex::new(Merged::default()), news: Notify::new() });
        let mailbox = Mailbox(Arc::downgrade(&waiting));
        store.cache.while_wanted(Box::new(move |event| mailbox.put(event)));
        Self { waiting, ready: VecDeque::new(), _store: store }
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
        self.ready.pop_front().map(Event::typed)
    }
}
