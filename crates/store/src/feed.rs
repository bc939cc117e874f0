//! Feeds the cache: loads everything once, then follows one watch over the whole prefix. A broken watch resumes
//! where it stopped; only when that revision has been compacted is everything loaded again.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use crate::{
    backend::{Backend, BackendError, Change, Range, Revision},
    cache::{Bells, Cache, Loaded, ResourceRef},
    compactor,
    object::{DecodeError, Object},
};

/// Objects per request of the first load.
const PAGE: i64 = 2000;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("an object cannot be read")]
    Decode(#[from] DecodeError),
}

/// Runs until it is dropped.
pub(crate) async fn run(backend: Arc<dyn Backend>, cache: Arc<Cache>) {
    let mut pause = FIRST_PAUSE;
    let mut loaded = false;
    loop {
        let before = cache.revision();
        let result = if loaded { follow(&*backend, &cache).await } else { load(&*backend, &cache).await };
        match result {
            Ok(()) => loaded = true,
            Err(FeedError::Backend(BackendError::Compacted { .. })) => {
                warn!(revision = before, "the cache fell behind the storage's history and is loaded anew");
                loaded = false;
            }
            Err(FeedError::Decode(why)) => {
                error!(key = why.key, error = why.why, "an object cannot be read; the cache waits for its repair");
                loaded = false;
            }
            Err(FeedError::Backend(why)) if pause == FIRST_PAUSE => warn!(error = %why, "the storage's watch broke"),
            Err(FeedError::Backend(why)) => debug!(error = %why, "the storage's watch is still broken"),
        }
        if cache.revision() > before {
            pause = FIRST_PAUSE;
            continue;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn load(backend: &dyn Backend, cache: &Cache) -> Result<(), FeedError> {
    let revision = backend.revision().await?;
    let mut objects = Loaded::new();
    for table in cache.tables().iter().filter(|table| table.resource.cached) {
        objects.insert(table.number, read(backend, cache, table, revision).await?.1);
    }
    let count: usize = objects.values().map(Vec::len).sum();
    cache.rebuild(objects, revision);
    info!(revision, objects = count, "cache loaded");
    Ok(())
}

/// All objects of a resource at `revision` (0: the newest), and which one that was.
pub(crate) async fn read(
    backend: &dyn Backend,
    cache: &Cache,
    table: &ResourceRef,
    revision: Revision,
) -> Result<(Revision, Vec<Arc<Object>>), FeedError> {
    let mut range = Range { limit: PAGE, revision, ..Range::prefix(&cache.key(table, "", "")) };
    let mut objects = Vec::new();
    loop {
        let page = backend.range(range.clone()).await?;
        if range.revision == 0 {
            range.revision = page.revision;
        }
        objects.extend(cache.decode_all(table, &page.items)?);
        let Some(last) = page.items.last().filter(|_| page.more) else { return Ok((range.revision, objects)) };
        range.start = format!("{}\0", last.key);
    }
}

async fn follow(backend: &dyn Backend, cache: &Cache) -> Result<(), FeedError> {
    let mut changes = backend.watch(cache.prefix().to_owned(), cache.revision() + 1).await?;
    let mut bells = Bells::default();
    let mut due = None;
    loop {
        let mut next = changes.next();
        let batch = loop {
            tokio::select! {
                biased;
                batch = &mut next => break batch?,
                () = until(due) => due = bells.ring(Instant::now()),
            }
        };
        // First, so that whoever sees this batch's revision knows what is gone.
        if let Some(revision) = batch.iter().rev().find_map(|change| compaction(cache, change)) {
            cache.compact(revision);
        }
        drop(next);
        cache.apply(&batch, &mut bells)?;
        due = bells.ring(Instant::now());
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The revision up to which some server has compacted.
fn compaction(cache: &Cache, change: &Change) -> Option<Revision> {
    let Change::Put(kv) = change else { return None };
    if kv.key.strip_prefix(cache.prefix()) != Some(compactor::KEY) {
        return None;
    }
    std::str::from_utf8(&kv.value).ok()?.parse().ok()
}
