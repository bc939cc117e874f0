//! What a worker is told, merged: of many updates only the newest counts, so nothing queues up.

use parking_lot::Mutex;
use pod_lifecycle::{core::Pod, resize::Pending, status::Verdict};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    news: Notify,
}

#[derive(Default)]
pub struct Inbox {
    /// With what it is given, and why that is less than it asks for.
    pub pod: Option<(Arc<Pod>, Option<Pending>)>,
    /// The object has left the API.
    pub gone: bool,
    /// The runtime has news.
    pub poked: bool,
    /// The mirror of a static pod has come, changed or gone.
    pub mirror: Option<Option<Arc<Pod>>>,
    /// The node cannot keep the pod any longer.
    pub evicted: Option<Eviction>,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        let Self { pod, gone, poked, mirror, evicted } = self;
        pod.is_none() && mirror.is_none() && evicted.is_none() && !gone && !poked
    }
}

/// Why a pod is taken away, and how much time it has for its end.
#[derive(Clone, Debug)]
pub struct Eviction {
    pub verdict: Verdict,
    /// Seconds.
    pub grace: i64,
}

impl Mailbox {
    pub fn put(&self, pod: Arc<Pod>, pending: Option<Pending>) {
        self.inbox.lock().pod = Some((pod, pending));
        self.news.notify_one();
    }

    pub fn object_gone(&self) {
        self.inbox.lock().gone = true;
        self.news.notify_one();
    }

    pub fn poke(&self) {
        self.inbox.lock().poked = true;
        self.news.notify_one();
    }

    pub fn mirror(&self, mirror: Option<Arc<Pod>>) {
        self.inbox.lock().mirror = Some(mirror);
        self.news.notify_one();
    }

    pub fn evict(&self, eviction: Eviction) {
        self.inbox.lock().evicted = Some(eviction);
        self.news.notify_one();
    }

    /// Waits until there is something, and takes all of it. Cancel safe.
    pub async fn take(&self) -> Inbox {
        loop {
            self.news.notified().await;
            let inbox = std::mem::take(&mut *self.inbox.lock());
            if !inbox.is_empty() {
                return inbox;
            }
        }
    }
}
