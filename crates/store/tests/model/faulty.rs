//! A backend whose watch breaks or stalls, and whose reads fail, when a test says so. Writes always succeed, so that the
//! test knows the history.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use store::{
    Backend, BackendError, Outcome, Transaction,
    backend::{Change, Changes, LeaseId, Range, Ranged, Result, Revision},
    memory::Memory,
};
use tokio::sync::watch;

pub struct Faulty {
    inner: Memory,
    stalled: watch::Sender<bool>,
    /// Counts the breaks.
    breaks: watch::Sender<u64>,
    failing: AtomicUsize,
}

impl Faulty {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Memory::new(),
            stalled: watch::Sender::new(false),
            breaks: watch::Sender::new(0),
            failing: AtomicUsize::new(0),
        })
    }

    /// The watch that is open ends with an error.
    pub fn break_watch(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// While stalled, the watch says nothing.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// The next reads fail.
    pub fn fail_reads(&self, count: usize) {
        self.failing.store(count, Ordering::Relaxed);
    }

    fn read(&self) -> Result<()> {
        let fails = self.failing.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if fails.is_ok() { Err(BackendError::Unavailable("a fault".into())) } else { Ok(()) }
    }
}

impl Backend for Faulty {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome>> {
        self.inner.commit(transaction)
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Ranged>> {
        async move {
            self.read()?;
            self.inner.range(range).await
        }
        .boxed()
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move {
            self.read()?;
            self.inner.revision().await
        }
        .boxed()
    }

    fn watch(&self, prefix: String, from: Revision) -> BoxFuture<'_, Result<Box<dyn Changes>>> {
        async move {
            let inner = self.inner.watch(prefix, from).await?;
            let (stalled, mut breaks) = (self.stalled.subscribe(), self.breaks.subscribe());
            breaks.mark_unchanged();
            Ok(Box::new(Tail { inner, stalled, breaks }) as Box<dyn Changes>)
        }
        .boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.inner.compact(revision)
    }

    fn grant(&self, seconds: i64) -> BoxFuture<'_, Result<LeaseId>> {
        self.inner.grant(seconds)
    }
}

struct Tail {
    inner: Box<dyn Changes>,
    stalled: watch::Receiver<bool>,
    breaks: watch::Receiver<u64>,
}

impl Changes for Tail {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Change>>> {
        async move {
            let Self { inner, stalled, breaks } = self;
            let next = async {
                // The sender lives as long as the backend, which outlives its watches.
                let _ = stalled.wait_for(|stalled| !*stalled).await;
                inner.next().await
            };
            tokio::select! {
                biased;
                _ = breaks.changed() => Err(BackendError::Unavailable("a break".into())),
                batch = next => batch,
            }
        }
        .boxed()
    }
}
