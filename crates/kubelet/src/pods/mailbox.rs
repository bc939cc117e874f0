//! What a worker is told, merged: of many updates only the newest counts, so nothing queues up.

use parking_lot::Mutex;
use pod_lifecycle::core::Pod;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    news: Notify,
}

#[derive(Default)]
pub struct Inbox {
    pub pod: Option<Arc<Pod>>,
    /// The object has left the API.
    pub gone: bool,
    /// The runtime has news.
    pub poked: bool,
}

impl Mailbox {
    pub fn put(&self, pod: Arc<Pod>) {
        self.inbox.lock().pod = Some(pod);
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

    /// Waits until there is something, and takes all of it. Cancel safe.
    pub async fn take(&self) -> Inbox {
        loop {
            self.news.notified().await;
            let inbox = std::mem::take(&mut *self.inbox.lock());
            if inbox.pod.is_some() || inbox.gone || inbox.poked {
                return inbox;
            }
        }
    }
}
