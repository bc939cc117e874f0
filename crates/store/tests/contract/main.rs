//! One contract, run on the real etcd and on its in-memory twin.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod etcd_server;

use std::{sync::Arc, time::Duration};

use store::{
    Backend, BackendError, Check, KeyValue, Outcome, Transaction, Write,
    backend::{Change, Range, Ranged, Revision},
    compactor::Round,
    etcd::{Etcd, EtcdOptions},
    memory::Memory,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs every clause on one backend, each under a prefix of its own.
async fn check(backend: Arc<dyn Backend>) {
    transactions(&*backend).await;
    ranges(&*backend).await;
    watches(&*backend).await;
    leases(&*backend).await;
    compaction(&*backend).await;
    compactors_take_turns(&*backend).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    check(Arc::new(Memory::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let server = etcd_server::start();
    let options = EtcdOptions { servers: vec![server.url.clone()], ..EtcdOptions::default() };
    let etcd = Etcd::connect(&options).await.unwrap();
    server.await_ready(&etcd).await;
    check(Arc::new(etcd)).await;
}

async fn commit(backend: &dyn Backend, checks: &[(&str, Revision)], writes: Vec<Write>) -> Outcome {
    let checks = checks.iter().map(|(key, revision)| Check::unchanged(*key, *revision)).collect();
    backend.commit(Transaction { checks, writes }).await.unwrap()
}

async fn put(backend: &dyn Backend, key: &str, value: &str) -> Revision {
    match commit(backend, &[], vec![Write::put(key, value.to_owned())]).await {
        Outcome::Committed { revision } => revision,
        Outcome::Refused { .. } => panic!("nothing was checked"),
    }
}

async fn delete(backend: &dyn Backend, key: &str) -> Revision {
    match commit(backend, &[], vec![Write::delete(key)]).await {
        Outcome::Committed { revision } => revision,
        Outcome::Refused { .. } => panic!("nothing was checked"),
    }
}

async fn range(backend: &dyn Backend, prefix: &str, limit: i64, revision: Revision) -> Result<Ranged, BackendError> {
    backend.range(Range { limit, revision, ..Range::prefix(prefix) }).await
}

fn texts(items: &[KeyValue]) -> Vec<(&str, &str)> {
    items.iter().map(|kv| (kv.key.as_str(), std::str::from_utf8(&kv.value).unwrap())).collect()
}

async fn transactions(backend: &dyn Backend) {
    let before = backend.revision().await.unwrap();
    let created = commit(backend, &[("/t/a", 0)], vec![Write::put("/t/a", "1"), Write::put("/t/b", "1")]).await;
    assert_eq!(created, Outcome::Committed { revision: before + 1 });
    let refused = commit(backend, &[("/t/a", 0), ("/t/c", 0)], vec![Write::put("/t/a", "2")]).await;
    let Outcome::Refused { revision, current } = refused else { panic!("{refused:?}") };
    assert_eq!(revision, before + 1);
    let found: Vec<_> = current.iter().map(|kv| kv.as_ref().map(|kv| (&*kv.value, kv.mod_revision))).collect();
    assert_eq!(found, [Some((&b"1"[..], before + 1)), None]);
    let updated = commit(backend, &[("/t/a", before + 1)], vec![Write::put("/t/a", "2"), Write::delete("/t/b")]).await;
    assert_eq!(updated, Outcome::Committed { revision: before + 2 });
    let all = range(backend, "/t/", 0, 0).await.unwrap();
    assert_eq!(texts(&all.items), [("/t/a", "2")]);
    assert_eq!((all.items[0].create_revision, all.items[0].mod_revision), (before + 1, before + 2));
    // Deleting what is not there changes nothing, not even the revision.
    assert_eq!(delete(backend, "/t/none").await, before + 2);
    assert_eq!(backend.revision().await.unwrap(), before + 2);
}

async fn ranges(backend: &dyn Backend) {
    for key in ["/r/a-b/x", "/r/a/x", "/r/a/y", "/r/b", "/rr/c"] {
        put(backend, key, key).await;
    }
    let keys = |ranged: &Ranged| ranged.items.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>();
    let all = range(backend, "/r/", 0, 0).await.unwrap();
    assert_eq!(keys(&all), ["/r/a-b/x", "/r/a/x", "/r/a/y", "/r/b"]);
    assert_eq!((all.more, all.count), (false, 4));
    let first = range(backend, "/r/", 2, 0).await.unwrap();
    assert_eq!(keys(&first), ["/r/a-b/x", "/r/a/x"]);
    assert_eq!((first.more, first.count), (true, 4));
    put(backend, "/r/a/z", "later").await;
    delete(backend, "/r/b").await;
    let before = range(backend, "/r/", 0, all.revision).await.unwrap();
    assert_eq!(keys(&before), keys(&all));
    let one = backend.range(Range::key("/r/a/x")).await.unwrap();
    assert_eq!(keys(&one), ["/r/a/x"]);
    let future = range(backend, "/r/", 0, one.revision + 100).await;
    assert_eq!(future, Err(BackendError::FutureRevision));
}

async fn take(changes: &mut Box<dyn store::backend::Changes>, count: usize) -> Vec<Change> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = tokio::time::timeout(PATIENCE, changes.next()).await.expect("in time").unwrap();
        taken.extend(batch);
    }
    taken
}

async fn watches(backend: &dyn Backend) {
    let first = put(backend, "/w/a", "1").await;
    put(backend, "/elsewhere", "1").await;
    let mut past = backend.watch("/w/".into(), first).await.unwrap();
    let mut live = backend.watch("/w/".into(), backend.revision().await.unwrap() + 1).await.unwrap();
    let both = commit(backend, &[], vec![Write::put("/w/a", "2"), Write::put("/w/b", "1")]).await;
    let Outcome::Committed { revision: second } = both else { panic!("{both:?}") };
    let third = delete(backend, "/w/a").await;
    let describe = |changes: &[Change]| {
        let mut found: Vec<_> =
            changes.iter().map(|c| (c.revision(), c.key().to_owned(), matches!(c, Change::Put(_)))).collect();
        found.sort();
        found
    };
    let recent =
        [(second, "/w/a".to_owned(), true), (second, "/w/b".to_owned(), true), (third, "/w/a".to_owned(), false)];
    assert_eq!(describe(&take(&mut live, 3).await), recent);
    let mut all = vec![(first, "/w/a".to_owned(), true)];
    all.extend(recent);
    assert_eq!(describe(&take(&mut past, 4).await), all);
}

async fn leases(backend: &dyn Backend) {
    let lease = backend.grant(1).await.unwrap();
    let from = backend.revision().await.unwrap() + 1;
    let mut changes = backend.watch("/l/".into(), from).await.unwrap();
    let leased = |key: &str| Write::Put { key: key.into(), value: "x".into(), lease: Some(lease) };
    commit(backend, &[], vec![leased("/l/a"), leased("/l/b"), leased("/l/kept")]).await;
    put(backend, "/l/kept", "without a lease now").await;
    let taken = take(&mut changes, 6).await;
    let ends: Vec<_> = taken.iter().filter(|c| matches!(c, Change::Delete { .. })).collect();
    assert_eq!(ends.iter().map(|c| c.key()).collect::<Vec<_>>(), ["/l/a", "/l/b"]);
    assert_eq!(ends[0].revision(), ends[1].revision(), "a lease ends at one revision");
    assert_eq!(range(backend, "/l/", 0, 0).await.unwrap().items.len(), 1);
}

async fn compaction(backend: &dyn Backend) {
    let old = put(backend, "/c/a", "1").await;
    put(backend, "/c/a", "2").await;
    let kept = put(backend, "/c/b", "1").await;
    backend.compact(kept).await.unwrap();
    assert!(matches!(range(backend, "/c/", 0, old).await, Err(BackendError::Compacted { .. })));
    assert_eq!(texts(&range(backend, "/c/", 0, kept).await.unwrap().items), [("/c/a", "2"), ("/c/b", "1")]);
    let error = match backend.watch("/c/".into(), old).await {
        Ok(mut changes) => loop {
            match tokio::time::timeout(PATIENCE, changes.next()).await.expect("in time") {
                Ok(batch) if batch.is_empty() => {}
                other => break other.unwrap_err(),
            }
        },
        Err(error) => error,
    };
    assert!(matches!(error, BackendError::Compacted { .. }), "{error}");
    assert!(matches!(backend.compact(old).await, Err(BackendError::Compacted { .. })));
}

async fn compactors_take_turns(backend: &dyn Backend) {
    let (mut one, mut two) = (Round::default(), Round::default());
    assert_eq!(one.compact(backend, "/turns/").await.unwrap(), None, "the first round only looks");
    assert_eq!(two.compact(backend, "/turns/").await.unwrap(), None, "someone else was there");
    let target = backend.revision().await.unwrap();
    put(backend, "/turns/x", "1").await;
    assert_eq!(two.compact(backend, "/turns/").await.unwrap(), Some(target));
    assert_eq!(one.compact(backend, "/turns/").await.unwrap(), None, "the other took this round");
    let copy = range(backend, "/turns/compact_rev_key", 0, 0).await.unwrap();
    assert_eq!(texts(&copy.items), [("/turns/compact_rev_key", target.to_string().as_str())], "caches see it");
    // A server of upstream's takes the next round: it compares and writes its key alone.
    let found = range(backend, "compact_rev_key", 0, 0).await.unwrap();
    let target = backend.revision().await.unwrap();
    let seen = [("compact_rev_key", found.items[0].mod_revision)];
    let theirs = commit(backend, &seen, vec![Write::put("compact_rev_key", target.to_string())]).await;
    assert!(matches!(theirs, Outcome::Committed { .. }));
    for ours in [&mut one, &mut two] {
        assert_eq!(ours.compact(backend, "/turns/").await.unwrap(), None, "this round is theirs");
    }
}
