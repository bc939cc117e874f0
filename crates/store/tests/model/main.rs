//! A model of the watch cache. Random histories of writes, compactions, broken and stalled watches, failing reads, restarts
//! and slow readers are played against the store, and every reader is compared with what happened:
//!
//! * a watch sees every revision that matches, once and in order, or is told that it fell behind;
//! * a list and the watch from its revision are the state; a bookmark leaves nothing out;
//! * consistent reads show everything acknowledged before they began, and never go back;
//! * pages show the state of their first page, or are refused;
//! * who listed again after a 410 has lost nothing.
//!
//! A history that failed once stays here as a test of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod client;
mod faulty;
mod history;

use std::{sync::Arc, time::Duration};

use client::{Client, value_of};
use faulty::Faulty;
use history::{History, Selection, State, Value};
use proptest::prelude::*;
use store::{
    Backend, Field, Filter, Freshness, ListAt, Options, Outcome, Resource, Selects, Store, StoreError, Transaction,
    Write, backend::Revision, next_key,
};

const PODS: &str = "pods";
const EVENTS: &str = "events";
const NAMESPACES: [&str; 2] = ["a", "a-b"];
const NAMES: [&str; 3] = ["p", "q", "r"];
const LABELS: [&str; 2] = ["x", "y"];
const NODES: [&str; 3] = ["", "n1", "n2"];

/// One write: which key, and what becomes of it.
#[derive(Clone, Debug)]
struct Set {
    key: usize,
    value: Option<(usize, usize)>,
}

#[derive(Clone, Debug)]
enum Op {
    /// All at one revision.
    Write(Vec<Set>),
    /// Something that is no resource moves the revision.
    WriteOutside,
    /// A client reads so many steps of its watch.
    Read(usize, usize),
    Bookmark(usize),
    Disconnect(usize),
    ConsistentList,
    FirstPage,
    NextPage,
    /// Forgets all history but the newest revisions; whether a server announces it by its key.
    Compact {
        keep: i64,
        announced: bool,
    },
    Break,
    Stall(bool),
    FailReads(usize),
    Restart,
}

struct World {
    backend: Arc<Faulty>,
    store: Arc<Store>,
    log_limit: usize,
    history: History,
    clients: Vec<Client>,
    /// The newest revision that was acknowledged.
    written: Revision,
    /// The newest revision that a consistent read showed.
    shown: Revision,
    page: Option<(Revision, String, State)>,
}

impl World {
    async fn new(log_limit: usize) -> Self {
        let backend = Faulty::new();
        let store = start(&backend, log_limit);
        let clients = [PODS, EVENTS].into_iter().flat_map(|resource| {
            let selections = [
                Selection::Everything,
                Selection::Namespace("a"),
                Selection::Label("x"),
                Selection::Node("n1"),
                Selection::Name("q"),
            ];
            selections.into_iter().map(move |selection| Client::new(resource, selection))
        });
        let (history, clients) = (History::default(), clients.collect());
        Self { backend, store, log_limit, history, clients, written: 1, shown: 0, page: None }
    }

    async fn play(&mut self, op: &Op) {
        match op {
            Op::Write(sets) => self.write(sets).await,
            Op::WriteOutside => {
                let outside = Transaction { checks: vec![], writes: vec![Write::put("/outside", "x")] };
                self.backend.commit(outside).await.unwrap();
            }
            Op::Read(client, steps) => {
                self.clients[*client].read(&self.store, &self.history, *steps).await;
            }
            Op::Bookmark(client) => self.clients[*client].bookmark(&self.history),
            Op::Disconnect(client) => self.clients[*client].disconnect(),
            Op::ConsistentList => self.consistent_list().await,
            Op::FirstPage => self.first_page().await,
            Op::NextPage => self.next_page().await,
            Op::Compact { keep, announced } => self.compact(*keep, *announced).await,
            Op::Break => self.backend.break_watch(),
            Op::Stall(stalled) => self.backend.stall(*stalled),
            Op::FailReads(count) => self.backend.fail_reads(*count),
            Op::Restart => self.restart(),
        }
    }

    async fn write(&mut self, sets: &[Set]) {
        let mut writes = Vec::new();
        let mut changes = Vec::new();
        for Set { key, value } in sets {
            let (resource, namespace, name) = parts(*key);
            let value = value.map(|(label, node)| Value { label: LABELS[label], node: NODES[node] });
            let path = format!("/registry/{resource}/{namespace}/{name}");
            if writes.iter().any(|write: &Write| write.key() == path) {
                continue;
            }
            writes.push(
                value.as_ref().map_or_else(|| Write::delete(&path), |value| Write::put(&path, json(name, value))),
            );
            changes.push((resource, format!("{namespace}/{name}"), value));
        }
        let outcome = self.backend.commit(Transaction { checks: vec![], writes }).await.unwrap();
        let Outcome::Committed { revision } = outcome else { panic!("nothing was checked") };
        for (resource, key, value) in changes {
            self.history.record(revision, resource, &key, value);
        }
        self.written = revision;
    }

    async fn consistent_list(&mut self) {
        let before = self.written;
        for resource in [PODS, EVENTS] {
            let Some((revision, state)) = client::list(&self.store, resource, &Filter::everything()).await else {
                continue;
            };
            assert!(revision >= before, "a consistent list of {revision} misses the write of {before}");
            assert!(revision >= self.shown, "a consistent list went back from {} to {revision}", self.shown);
            assert_eq!(state, self.history.state(resource, Selection::Everything, revision));
            self.shown = revision;
        }
    }

    async fn first_page(&mut self) {
        let id = self.store.find(PODS).unwrap();
        let Ok(mut list) = self.store.list(&id, None, None, ListAt::Fresh(Freshness::Latest)).await else { return };
        let page = list.chunk(&self.store, 2).await.unwrap();
        let Some(last) = page.last() else { return };
        self.store.keep_page(&id, &list);
        let state = page.iter().map(|o| (o.key().to_owned(), (o.revision(), value_of(o)))).collect();
        self.page = Some((list.revision, next_key(last.key()), state));
    }

    /// The rest of a list shows the state of its beginning.
    async fn next_page(&mut self) {
        let Some((revision, from, mut state)) = self.page.take() else { return };
        let id = self.store.find(PODS).unwrap();
        let mut list = match self.store.list(&id, None, Some(&from), ListAt::Exact(revision)).await {
            Ok(list) => list,
            Err(StoreError::Expired | StoreError::Backend(_) | StoreError::Future { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(list.revision, revision);
        loop {
            let Ok(chunk) = list.chunk(&self.store, 2).await else { return };
            if chunk.is_empty() {
                break;
            }
            state.extend(chunk.iter().map(|o| (o.key().to_owned(), (o.revision(), value_of(o)))));
        }
        assert_eq!(state, self.history.state(PODS, Selection::Everything, revision), "pages of {revision}");
    }

    async fn compact(&self, keep: i64, announced: bool) {
        let target = (self.written - keep).max(1);
        if announced {
            let key = Write::put("/registry/compact_rev_key", target.to_string());
            self.backend.commit(Transaction { checks: vec![], writes: vec![key] }).await.unwrap();
        }
        // What is compacted already stays so.
        let _ = self.backend.compact(target).await;
    }

    /// The server's process goes and another comes: connections break, the state is in the backend.
    fn restart(&mut self) {
        self.clients.iter_mut().for_each(Client::disconnect);
        self.store = start(&self.backend, self.log_limit);
    }

    /// All faults are over: everybody gets the newest state.
    async fn settle(&mut self) {
        self.backend.stall(false);
        self.backend.fail_reads(0);
        self.store.ready().await;
        self.consistent_list().await;
        let newest = self.backend.revision().await.unwrap();
        assert!(self.shown >= self.written);
        for client in &mut self.clients {
            client.settle(&self.store, &self.history, newest).await;
        }
    }
}

fn start(backend: &Arc<Faulty>, log_limit: usize) -> Arc<Store> {
    let resource = |folder: &'static str, cached| Resource {
        folder: folder.into(),
        label: folder.into(),
        namespaced: true,
        cached,
        selects: Selects { fields: vec![Field::dotted("spec.nodeName")], indexed: Some(0) },
        adapt: None,
    };
    let options = Options { log_limit, compaction_interval: Duration::from_secs(1 << 30), ..Options::default() };
    Store::start(backend.clone(), vec![resource(PODS, true), resource(EVENTS, false)], options)
}

/// Resource, namespace and name of a key by its number.
fn parts(key: usize) -> (&'static str, &'static str, &'static str) {
    let resource = if key.is_multiple_of(2) { PODS } else { EVENTS };
    (resource, NAMESPACES[key / 2 % 2], NAMES[key / 4 % 3])
}

fn json(name: &str, value: &Value) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"K","metadata":{{"name":"{name}","labels":{{"app":"{}"}}}},"spec":{{"nodeName":"{}"}}}}"#,
        value.label, value.node
    )
}

/// Plays a history in a log of so many bytes, and how often clients fell behind.
fn check(log_limit: usize, ops: &[Op]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(log_limit).await;
        world.store.ready().await;
        for op in ops {
            world.play(op).await;
        }
        world.settle().await;
        world.clients.iter().map(|client| client.expired).sum()
    })
}

fn writes() -> impl Strategy<Value = Op> {
    let value = prop_oneof![1 => Just(None), 3 => (0..2_usize, 0..3_usize).prop_map(Some)];
    let set = (0..12_usize, value).prop_map(|(key, value)| Set { key, value });
    prop_oneof![9 => proptest::collection::vec(set, 1..4).prop_map(Op::Write), 1 => Just(Op::WriteOutside)]
}

fn reads() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..10_usize, 1..4_usize).prop_map(|(client, steps)| Op::Read(client, steps)),
        2 => (0..10_usize).prop_map(Op::Bookmark),
        1 => (0..10_usize).prop_map(Op::Disconnect),
        1 => Just(Op::ConsistentList),
        1 => Just(Op::FirstPage),
        2 => Just(Op::NextPage),
    ]
}

fn faults() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..6_i64, any::<bool>()).prop_map(|(keep, announced)| Op::Compact { keep, announced }),
        2 => Just(Op::Break),
        2 => any::<bool>().prop_map(Op::Stall),
        1 => (1..4_usize).prop_map(Op::FailReads),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_readers_see_what_happened(
        log_limit in prop_oneof![Just(1 << 20), 2_000..8_000_usize],
        ops in proptest::collection::vec(prop_oneof![4 => writes(), 4 => reads(), 1 => faults()], 1..120),
    ) {
        check(log_limit, &ops);
    }

    /// While nothing is lost, nobody is told that something was.
    #[test]
    fn with_room_nobody_falls_behind(
        ops in proptest::collection::vec(
            prop_oneof![4 => writes(), 4 => reads(), 1 => Just(Op::Break), 1 => any::<bool>().prop_map(Op::Stall)],
            1..120,
        ),
    ) {
        prop_assert_eq!(check(1 << 20, &ops), 0);
    }
}

/// A watch of what is not cached, by a field that others are woken by: the value that the object had is not known as it goes.
#[test]
fn an_event_that_goes_is_seen_by_those_who_select_it_by_field() {
    const EVENT: usize = 3;
    const BY_NODE: usize = 8;
    let set = |value| Op::Write(vec![Set { key: EVENT, value }]);
    assert_eq!(check(1 << 20, &[set(Some((0, 1))), Op::Read(BY_NODE, 1), set(None)]), 0);
}

/// More in long runs.
fn cases() -> u32 {
    std::env::var("KOGGE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(96)
}
