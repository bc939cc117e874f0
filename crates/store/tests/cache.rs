//! The store over the in-memory backend: reads, pages and watches as the API promises them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

use std::{sync::Arc, time::Duration};

use api_types::selector::{FieldSelector, Selector};
use store::{
    Backend, Check, Event, Field, Filter, Freshness, ListAt, Options, Outcome, Resource, ResourceRef, Selects, Step,
    Store, StoreError, Transaction, WatchError, WatchFrom, Watcher, Write, memory::Memory,
};

const PODS: &str = "pods";
const NODES: &str = "minions";
const EVENTS: &str = "events";

fn resources() -> Vec<Resource> {
    let pods =
        Selects { fields: vec![Field::dotted("spec.nodeName"), Field::dotted("status.phase")], indexed: Some(0) };
    let resource = |folder: &'static str, namespaced, cached, selects| Resource {
        folder: folder.into(),
        label: folder.into(),
        namespaced,
        cached,
        selects,
        adapt: None,
    };
    let reason = Selects { fields: vec![Field::dotted("reason")], indexed: None };
    vec![
        resource("pods", true, true, pods),
        resource("minions", false, true, Selects::default()),
        resource("events", true, false, reason),
    ]
}

struct Cluster {
    backend: Arc<Memory>,
    store: Arc<Store>,
}

impl Cluster {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let backend = Arc::new(Memory::new());
        let store = Store::start(backend.clone(), resources(), options);
        store.ready().await;
        Self { backend, store }
    }

    fn id(&self, folder: &str) -> ResourceRef {
        self.store.find(folder).unwrap()
    }

    async fn commit(&self, writes: Vec<Write>) -> i64 {
        match self.store.commit(Transaction { checks: vec![], writes }).await.unwrap() {
            Outcome::Committed { revision } => revision,
            Outcome::Refused { .. } => panic!("nothing was checked"),
        }
    }

    async fn put(&self, folder: &str, key: &str, more: &str) -> i64 {
        self.commit(vec![self.write(folder, key, more)]).await
    }

    fn write(&self, folder: &str, key: &str, more: &str) -> Write {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let value = format!(
            r#"{{"apiVersion":"v1","kind":"K","metadata":{{"name":"{name}","labels":{{"n":"{name}"}}}},{more}"z":0}}"#
        );
        Write::put(self.store.key(&self.id(folder), namespace, name), value)
    }

    async fn delete(&self, folder: &str, key: &str) -> i64 {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        self.commit(vec![Write::delete(self.store.key(&self.id(folder), namespace, name))]).await
    }

    async fn watch(&self, folder: &str, filter: Filter, from: WatchFrom) -> Watcher {
        self.store.watch(&self.id(folder), filter, from).await.unwrap()
    }

    async fn keys(&self, folder: &str, namespace: Option<&str>, at: ListAt) -> Result<Vec<String>, StoreError> {
        let mut list = self.store.list(&self.id(folder), namespace, None, at).await?;
        let mut keys = Vec::new();
        loop {
            let chunk = list.chunk(&self.store, 3).await?;
            if chunk.is_empty() {
                return Ok(keys);
            }
            keys.extend(chunk.iter().map(|object| object.key().to_owned()));
        }
    }
}

const LATEST: ListAt = ListAt::Fresh(Freshness::Latest);

fn fields(text: &str) -> Filter {
    Filter { fields: FieldSelector::parse(text).unwrap(), ..Filter::default() }
}

fn describe(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.body()).unwrap();
    assert_eq!(body["metadata"]["resourceVersion"], event.revision.to_string());
    assert!(event.frame().ends_with(b"}\n"));
    format!("{} {}", event.kind.as_str(), event.object.key())
}

/// The next events, until as many have come as are expected.
async fn expect(watcher: &mut Watcher, expected: &[&str]) {
    let mut found = Vec::new();
    while found.len() < expected.len() {
        let step = tokio::time::timeout(Duration::from_secs(5), watcher.next()).await;
        match step.unwrap_or_else(|_| panic!("only {found:?} of {expected:?}")).unwrap() {
            Step::Events(events) => found.extend(events.iter().map(describe)),
            Step::Synced(_) => found.push("SYNCED".to_owned()),
        }
    }
    assert_eq!(found, expected);
}

async fn expect_nothing(watcher: &mut Watcher) {
    let step = tokio::time::timeout(Duration::from_millis(50), watcher.next()).await;
    assert!(step.is_err(), "{step:?}");
}

#[tokio::test(start_paused = true)]
async fn reads_see_every_acknowledged_write() {
    let cluster = Cluster::new().await;
    for n in 0..20 {
        cluster.put(PODS, &format!("a/p{n}"), "").await;
        let found = cluster.store.get(&cluster.id(PODS), "a", &format!("p{n}"), Freshness::Latest).await.unwrap();
        assert!(found.is_some());
    }
    assert_eq!(cluster.keys(PODS, Some("a"), LATEST).await.unwrap().len(), 20);
    assert_eq!(cluster.keys(PODS, Some("b"), LATEST).await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revision_moved_from_outside_does_not_stop_reads() {
    let cluster = Cluster::new().await;
    let transaction = Transaction { checks: vec![], writes: vec![Write::put("/outside", "x")] };
    cluster.backend.commit(transaction).await.unwrap();
    assert_eq!(cluster.keys(PODS, None, LATEST).await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revision_from_the_future_is_refused() {
    let cluster = Cluster::new().await;
    let at = ListAt::Fresh(Freshness::AtLeast(1000));
    assert!(matches!(cluster.keys(PODS, None, at).await, Err(StoreError::Future { wanted: 1000, .. })));
}

#[tokio::test(start_paused = true)]
async fn watches_see_what_enters_and_leaves() {
    let cluster = Cluster::new().await;
    let mut on_node = cluster.watch(PODS, fields("spec.nodeName=n1"), WatchFrom::Now(Freshness::Latest)).await;
    let mut pending = cluster.watch(PODS, fields("status.phase!=Running"), WatchFrom::Now(Freshness::Latest)).await;
    let mut in_a = cluster.watch(PODS, Filter::namespace("a"), WatchFrom::Now(Freshness::Latest)).await;
    cluster.put(PODS, "a/p", "").await;
    cluster.put(PODS, "a/p", r#""spec":{"nodeName":"n1"},"#).await;
    cluster.put(PODS, "a/p", r#""spec":{"nodeName":"n1"},"status":{"phase":"Running"},"#).await;
    cluster.put(PODS, "b/p", "").await;
    cluster.delete(PODS, "a/p").await;
    expect(&mut on_node, &["ADDED a/p", "MODIFIED a/p", "DELETED a/p"]).await;
    expect(&mut pending, &["ADDED a/p", "MODIFIED a/p", "DELETED a/p", "ADDED b/p"]).await;
    expect(&mut in_a, &["ADDED a/p", "MODIFIED a/p", "MODIFIED a/p", "DELETED a/p"]).await;
    expect_nothing(&mut in_a).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_with_state_begins_with_it() {
    let cluster = Cluster::new().await;
    cluster.put(PODS, "a/p", "").await;
    cluster.put(PODS, "b/p", "").await;
    cluster.put(NODES, "n", "").await;
    let mut watcher = cluster.watch(PODS, Filter::default(), WatchFrom::State(Freshness::Latest)).await;
    let changed = cluster.put(PODS, "a/p", r#""x":1,"#).await;
    expect(&mut watcher, &["ADDED a/p", "ADDED b/p", "SYNCED", "MODIFIED a/p"]).await;
    assert_eq!(watcher.position(), changed);
    let last = cluster.put(NODES, "n", r#""x":1,"#).await;
    cluster.store.get(&cluster.id(NODES), "", "n", Freshness::Latest).await.unwrap();
    assert_eq!(watcher.position(), last, "a bookmark tells of revisions that changed nothing here");
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_any_revision_it_has_seen() {
    let cluster = Cluster::new().await;
    let mut revisions = Vec::new();
    for n in 0..5 {
        revisions.push(cluster.put(PODS, &format!("a/p{n}"), "").await);
    }
    cluster.store.get(&cluster.id(PODS), "a", "p4", Freshness::Latest).await.unwrap();
    for (n, revision) in revisions.iter().enumerate() {
        let mut watcher = cluster.watch(PODS, Filter::default(), WatchFrom::Revision(*revision)).await;
        let rest: Vec<String> = (n + 1..5).map(|n| format!("ADDED a/p{n}")).collect();
        expect(&mut watcher, &rest.iter().map(String::as_str).collect::<Vec<_>>()).await;
        expect_nothing(&mut watcher).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_revision_is_seen_as_a_whole() {
    let cluster = Cluster::new().await;
    let both = vec![cluster.write(PODS, "a/p", ""), cluster.write(NODES, "n", ""), cluster.write(PODS, "a/q", "")];
    let revision = cluster.commit(both).await;
    let list = cluster.store.list(&cluster.id(PODS), None, None, LATEST).await.unwrap();
    assert_eq!((list.revision, list.snapshot().unwrap().len()), (revision, 2));
    assert!(cluster.store.cached(&cluster.id(NODES), "", "n").is_some());
}

#[tokio::test(start_paused = true)]
async fn only_a_pending_matching_event_lost_ends_a_watch() {
    let cluster = Cluster::with(Options { log_limit: 4096, ..Options::default() }).await;
    let start = cluster.put(PODS, "a/first", "").await;
    let mut idle = cluster.watch(PODS, Filter::namespace("idle"), WatchFrom::Now(Freshness::Latest)).await;
    let mut slow = cluster.watch(PODS, Filter::namespace("a"), WatchFrom::Now(Freshness::Latest)).await;
    for n in 0..50 {
        cluster.put(PODS, &format!("a/p{n}"), "").await;
    }
    cluster.store.get(&cluster.id(PODS), "a", "x", Freshness::Latest).await.unwrap();
    assert_eq!(slow.next().await.unwrap_err(), WatchError::Expired);
    cluster.put(PODS, "idle/p", "").await;
    expect(&mut idle, &["ADDED idle/p"]).await;
    let late = cluster.store.watch(&cluster.id(PODS), Filter::default(), WatchFrom::Revision(start)).await;
    assert_eq!(late.err(), Some(StoreError::Expired));
    let quiet = cluster.store.watch(&cluster.id(NODES), Filter::default(), WatchFrom::Revision(start)).await;
    assert!(quiet.is_ok(), "no node's change was lost");
}

#[tokio::test(start_paused = true)]
async fn pages_show_one_revision_until_it_is_compacted() {
    let cluster = Cluster::new().await;
    for n in 0..6 {
        cluster.put(PODS, &format!("a/p{n}"), "").await;
    }
    let mut first = cluster.store.list(&cluster.id(PODS), None, None, LATEST).await.unwrap();
    let revision = first.revision;
    assert_eq!(first.chunk(&cluster.store, 2).await.unwrap().len(), 2);
    assert_eq!(first.remaining("a/p2", 2), 4);
    cluster.store.keep_page(&cluster.id(PODS), &first);
    cluster.delete(PODS, "a/p4").await;
    cluster.put(PODS, "a/p9", "").await;
    let rest = async |from: &'static str| {
        let mut list = cluster.store.list(&cluster.id(PODS), None, Some(from), ListAt::Exact(revision)).await?;
        Ok::<_, StoreError>(
            list.chunk(&cluster.store, 10).await?.iter().map(|o| o.key().to_owned()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(rest("a/p2").await.unwrap(), ["a/p2", "a/p3", "a/p4", "a/p5"]);
    for outside in ["", "0", "a/p9z", "z"] {
        for cached in [PODS, EVENTS] {
            let mut list = cluster.store.list(&cluster.id(cached), Some("b"), Some(outside), LATEST).await.unwrap();
            assert!(list.chunk(&cluster.store, 10).await.unwrap().is_empty(), "{outside:?} leads out of the namespace");
        }
    }
    let fresh = cluster.keys(PODS, None, ListAt::Exact(revision - 2)).await.unwrap();
    assert_eq!(fresh.len(), 4, "a revision nobody kept is read from the backend");
    // Compaction by any server is seen through its key.
    let present = cluster.backend.revision().await.unwrap();
    cluster.commit(vec![Write::put("/registry/compact_rev_key", present.to_string())]).await;
    cluster.backend.compact(present).await.unwrap();
    cluster.store.get(&cluster.id(PODS), "a", "x", Freshness::Latest).await.unwrap();
    assert_eq!(rest("a/p2").await, Err(StoreError::Expired));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_cached_is_read_and_watched_all_the_same() {
    let cluster = Cluster::new().await;
    cluster.put(EVENTS, "a/e", r#""reason":"Old","#).await;
    assert_eq!(cluster.keys(EVENTS, Some("a"), LATEST).await.unwrap(), ["a/e"]);
    let mut all = cluster.watch(EVENTS, Filter::default(), WatchFrom::State(Freshness::Latest)).await;
    let mut selected = cluster.watch(EVENTS, fields("reason=Old"), WatchFrom::State(Freshness::Latest)).await;
    cluster.put(EVENTS, "a/e", r#""reason":"New","#).await;
    cluster.put(EVENTS, "a/f", r#""reason":"Old","#).await;
    cluster.delete(EVENTS, "a/e").await;
    expect(&mut all, &["ADDED a/e", "SYNCED", "MODIFIED a/e", "ADDED a/f", "DELETED a/e"]).await;
    expect(&mut selected, &["ADDED a/e", "SYNCED", "DELETED a/e", "ADDED a/f"]).await;
    expect_nothing(&mut selected).await;
}

#[tokio::test(start_paused = true)]
async fn a_label_selects_in_lists_and_watches() {
    let cluster = Cluster::new().await;
    cluster.put(PODS, "a/p", "").await;
    cluster.put(PODS, "a/q", "").await;
    let filter = Filter { labels: Selector::parse("n=q").unwrap(), ..Filter::default() };
    let mut watcher = cluster.watch(PODS, filter, WatchFrom::State(Freshness::Latest)).await;
    expect(&mut watcher, &["ADDED a/q", "SYNCED"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_transaction_tells_what_is_there() {
    let cluster = Cluster::new().await;
    let revision = cluster.put(PODS, "a/p", "").await;
    let key = cluster.store.key(&cluster.id(PODS), "a", "p");
    let transaction = Transaction { checks: vec![Check::absent(&key)], writes: vec![Write::delete(&key)] };
    let Outcome::Refused { current, .. } = cluster.store.commit(transaction).await.unwrap() else {
        panic!("it exists")
    };
    let object = cluster.store.decode(&cluster.id(PODS), current[0].as_ref().unwrap()).unwrap();
    assert_eq!((object.key(), object.revision()), ("a/p", revision));
}

fn widgets(phase: &'static str) -> Resource {
    let adapt = move |json: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        value["phase"] = phase.into();
        Ok(Some(value.to_string().into_bytes()))
    };
    Resource {
        folder: "example.com/widgets".into(),
        label: "widgets.example.com".into(),
        namespaced: true,
        cached: true,
        selects: Selects::default(),
        adapt: Some(store::Adapt::new(adapt)),
    }
}

/// A resource that comes late sees what was there, and what happens; one that goes ends its watches and reads past the cache.
#[tokio::test]
async fn resources_come_and_go() {
    let cluster = Cluster::new().await;
    let object = r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"}}"#;
    cluster.commit(vec![Write::put("/registry/example.com/widgets/n/a", object)]).await;
    let old = cluster.store.add(widgets("old")).await.unwrap();
    let read = async |id: &ResourceRef| {
        cluster.store.get(id, "n", "a", Freshness::Latest).await.unwrap().unwrap().value()["phase"].clone()
    };
    assert_eq!(read(&old).await, "old");
    let mut watch = cluster.store.watch(&old, Filter::default(), WatchFrom::Now(Freshness::Latest)).await.unwrap();
    cluster.put("example.com/widgets", "n/b", "").await;
    assert!(matches!(watch.next().await, Ok(Step::Events(events)) if events.len() == 1));

    let new = cluster.store.add(widgets("new")).await.unwrap();
    assert_eq!((read(&old).await, read(&new).await), ("old".into(), "new".into()));
    cluster.store.remove(&old);
    assert_eq!(watch.next().await.unwrap_err(), WatchError::Expired);
    let again = cluster.store.watch(&old, Filter::default(), WatchFrom::Now(Freshness::Any)).await;
    assert!(matches!(again, Err(StoreError::Expired)));
    cluster.put("example.com/widgets", "n/c", "").await;
    assert_eq!(read(&old).await, "old", "from the backend");
    let mut list = cluster.store.list(&old, None, None, LATEST).await.unwrap();
    assert_eq!(list.chunk(&cluster.store, 9).await.unwrap().len(), 3);
    assert_eq!(cluster.store.snapshot(&new).unwrap().len(), 3);
    cluster.store.remove(&new);
    assert!(cluster.store.find("example.com/widgets").is_none());
}

#[tokio::test(start_paused = true)]
async fn of_two_servers_one_compacts_in_each_interval() {
    const ROUNDS: i64 = 10;
    let options = Options { compaction_interval: Duration::from_secs(300), ..Options::default() };
    let one = Cluster::with(options.clone()).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    let store = Store::start(one.backend.clone(), resources(), options);
    store.ready().await;
    let two = Cluster { backend: one.backend.clone(), store };
    let start = one.put(PODS, "a/first", "").await;
    for round in 0..ROUNDS {
        one.put(PODS, &format!("a/p{round}"), "").await;
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    let key = one.backend.range(store::backend::Range::key("compact_rev_key")).await.unwrap().items.remove(0);
    let mut changes = one.backend.watch("compact_rev_key".into(), key.mod_revision).await.unwrap();
    assert_eq!(changes.next().await.unwrap().len(), 1);
    // Every round moved the revision by its pod and its key, whoever took it.
    assert_eq!(key.mod_revision, start + 2 * ROUNDS, "one compaction in each interval");
    for cluster in [&one, &two] {
        let old = cluster.store.list(&cluster.id(PODS), None, None, ListAt::Exact(start)).await;
        assert_eq!(old.err(), Some(StoreError::Expired));
        let recent = ListAt::Exact(key.mod_revision - 1);
        assert!(cluster.store.list(&cluster.id(PODS), None, None, recent).await.is_ok(), "an interval is kept");
    }
}
