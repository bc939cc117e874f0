//! "Most recent" without asking etcd for every read: one request for its revision serves all readers who arrived
//! before it was sent, never one already on its way.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    backend::{Backend, BackendError, Outcome, Result, Revision, Transaction, Write},
    cache::Cache,
};

/// After this long something outside the prefix must have moved etcd's revision: a write under the prefix shows it.
const PATIENCE: Duration = Duration::from_millis(50);
/// A cache that cannot follow for this long is cut off.
const LIMIT: Duration = Duration::from_secs(3);

type Waiter = oneshot::Sender<Result<Revision>>;

pub(crate) struct Freshness {
    backend: Arc<dyn Backend>,
    cache: Arc<Cache>,
    /// `Some` while a request is on its way: who waits for the one after it.
    revision: Mutex<Option<Vec<Waiter>>>,
    barrier: tokio::sync::Mutex<()>,
}

impl Freshness {
    pub(crate) fn new(backend: Arc<dyn Backend>, cache: Arc<Cache>) -> Arc<Self> {
        Arc::new(Self { backend, cache, revision: Mutex::new(None), barrier: tokio::sync::Mutex::new(()) })
    }

    /// Resolves when the cache holds everything that was acknowledged before this call.
    pub(crate) async fn latest(self: &Arc<Self>) -> Result<Revision> {
        let wanted = self.newest().await?;
        self.reach(wanted).await?;
        Ok(wanted)
    }

    /// Resolves when the cache is at `wanted`, a revision that etcd has reached.
    pub(crate) async fn reach(&self, wanted: Revision) -> Result<()> {
        if self.cache.revision() >= wanted || tokio::time::timeout(PATIENCE, self.cache.reached(wanted)).await.is_ok() {
            return Ok(());
        }
        self.write_barrier(wanted).await?;
        tokio::time::timeout(LIMIT, self.cache.reached(wanted))
            .await
            .map_err(|_| BackendError::Unavailable("the cache does not follow the storage".into()))
    }

    async fn write_barrier(&self, wanted: Revision) -> Result<()> {
        let _one_at_a_time = self.barrier.lock().await;
        if self.cache.revision() >= wanted {
            return Ok(());
        }
        let key = format!("{}barrier", self.cache.prefix());
        let transaction = Transaction { checks: vec![], writes: vec![Write::put(key, wanted.to_string())] };
        match self.backend.commit(transaction).await? {
            Outcome::Committed { .. } | Outcome::Refused { .. } => Ok(()),
        }
    }

    async fn newest(self: &Arc<Self>) -> Result<Revision> {
        let receiver = {
            let mut state = self.revision.lock();
            match state.as_mut() {
                Some(waiting) => {
                    let (sender, receiver) = oneshot::channel();
                    waiting.push(sender);
                    Some(receiver)
                }
                None => {
                    *state = Some(Vec::new());
                    None
                }
            }
        };
        let Some(receiver) = receiver else {
            // The first asks for itself; dropping its future must not strand those who wait for the next round.
            let handoff = Handoff(self.clone());
            let answer = self.backend.revision().await;
            drop(handoff);
            return answer;
        };
        receiver.await.unwrap_or_else(|_| Err(BackendError::Unavailable("shutting down".into())))
    }

    /// One request for all who have gathered, again and again until nobody waits.
    async fn serve(self: Arc<Self>, mut waiting: Vec<Waiter>) {
        loop {
            let answer = self.backend.revision().await;
            for waiter in waiting {
                let _ = waiter.send(answer.clone());
            }
            match self.gathered() {
                Some(next) => waiting = next,
                None => return,
            }
        }
    }

    /// Those who came while a request was on its way; if none did, no request is on its way any more.
    fn gathered(&self) -> Option<Vec<Waiter>> {
        let mut state = self.revision.lock();
        let waiting = state.take().filter(|waiting| !waiting.is_empty())?;
        *state = Some(Vec::new());
        Some(waiting)
    }
}

/// Ends the first one's turn, whether it was answered or given up.
struct Handoff(Arc<Freshness>);

impl Drop for Handoff {
    fn drop(&mut self) {
        if let Some(waiting) = self.0.gathered() {
            tokio::spawn(self.0.clone().serve(waiting));
        }
    }
}
