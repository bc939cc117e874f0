//! Failover: writers and watchers know two API servers on one etcd, of which one is killed or told to stop every three seconds.
//! No acknowledged write is lost and none is done twice, no watcher misses or repeats a change, and who loses its server is
//! served by the other one at once.
//!
//! `KOGGE_SECONDS` is how long it goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::bench::load::Target;
use nix::sys::signal::Signal;
use serde_json::Value as Json;
use tokio::time::sleep;

use crate::{
    servers::{self, Servers, Which},
    watcher::{self, Seen},
    writer::{Acknowledged, Writer},
};

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const JSON: &str = "application/json";
/// Whoever has no answer by then gives a server up.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// A change that tells watchers that no other follows.
pub const LAST: &str = "last";

const WRITERS: usize = 6;
const WATCHERS: usize = 4;
const BETWEEN_FAULTS: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_millis(500);

/// Two servers of which one answers: whoever fails goes to the other.
pub struct Pair {
    targets: [Target; 2],
    pub now: usize,
    failed: Option<Instant>,
    in_a_row: u32,
    pub outcome: Outcome,
}

/// What losing a server costs a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub failovers: u32,
    /// From a failure until the next answer.
    pub longest: Duration,
    /// Tries that failed, one after the other.
    pub most_in_a_row: u32,
}

impl Pair {
    pub fn new(targets: [Target; 2], first: usize) -> Self {
        Self { targets, now: first % 2, failed: None, in_a_row: 0, outcome: Outcome::default() }
    }

    pub fn target(&self) -> &Target {
        &self.targets[self.now]
    }

    pub fn failed(&mut self) {
        self.now = 1 - self.now;
        self.failed.get_or_insert_with(Instant::now);
        self.in_a_row += 1;
        self.outcome.most_in_a_row = self.outcome.most_in_a_row.max(self.in_a_row);
    }

    pub fn answered(&mut self) {
        self.in_a_row = 0;
        if let Some(since) = self.failed.take() {
            self.outcome.failovers += 1;
            self.outcome.longest = self.outcome.longest.max(since.elapsed());
        }
    }
}

impl Outcome {
    fn and(self, other: Self) -> Self {
        Self {
            failovers: self.failovers + other.failovers,
            longest: self.longest.max(other.longest),
            most_in_a_row: self.most_in_a_row.max(other.most_in_a_row),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_know_two_servers_lose_nothing() {
    let _alone = crate::ALONE.lock().await;
    let seconds = std::env::var("KOGGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(13);
    let mut servers = Servers::start(servers::folder("failover").unwrap()).await.unwrap();
    let targets = || [servers.target(0).unwrap(), servers.target(1).unwrap()];

    let stop = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> =
        (0..WATCHERS).map(|number| tokio::spawn(watcher::run(Pair::new(targets(), number)))).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(Writer::new(number, Pair::new(targets(), number)).run(stop.clone())))
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut last = Writer::new(WRITERS, Pair::new(targets(), 0));
    for fault in 0.. {
        sleep(BETWEEN_FAULTS - DOWN).await;
        if Instant::now() > until {
            break;
        }
        let which = Which::Api(fault % 2);
        match fault / 2 % 2 {
            0 => servers.kill(which).unwrap(),
            _ => servers.stop(which, Signal::SIGTERM).await.unwrap(),
        }
        sleep(DOWN).await;
        servers.begin(which).unwrap();
    }
    stop.store(true, Ordering::Relaxed);

    let (mut acknowledged, mut outcome) = (Vec::new(), Outcome::default());
    for writer in writers {
        let (done, lost) = writer.await.unwrap();
        acknowledged.extend(done);
        outcome = outcome.and(lost);
    }
    last.create(LAST).await;
    let end = last.list().await;
    nothing_lost_or_doubled(&acknowledged, &end);
    for watcher in watchers {
        let (seen, lost) = watcher.await.unwrap();
        nothing_missed(&seen, &acknowledged, &end);
        outcome = outcome.and(lost);
    }
    println!("{} writes, {outcome:?}", acknowledged.len());
    assert!(outcome.failovers as u64 >= seconds / 4, "hardly a client lost its server: {outcome:?}");
    assert!(outcome.most_in_a_row <= 2, "the server that ran on did not answer: {outcome:?}");
}

/// Each write that was answered is there, as often as it was made.
fn nothing_lost_or_doubled(acknowledged: &[Acknowledged], end: &BTreeMap<String, Json>) {
    let mut values = BTreeMap::new();
    for write in acknowledged {
        values.entry(&write.name).and_modify(|value: &mut u64| *value = write.value.max(*value)).or_insert(write.value);
    }
    for (name, value) in values {
        let object = end.get(name).unwrap_or_else(|| panic!("{name} was acknowledged and is gone"));
        assert_eq!(object["data"]["v"], value.to_string(), "{name}");
    }
}

/// Each write that was answered came, in order, once; and what came adds up to what there is.
fn nothing_missed(seen: &Seen, acknowledged: &[Acknowledged], end: &BTreeMap<String, Json>) {
    let versions: BTreeSet<u64> = seen.versions.iter().copied().collect();
    assert_eq!(versions.len(), seen.versions.len(), "a change came twice");
    assert!(seen.versions.is_sorted(), "changes came out of order");
    for write in acknowledged {
        let told = versions.contains(&write.version) || seen.listed.iter().any(|gap| gap.contains(&write.version));
        assert!(told, "{} = {} at {} was not seen", write.name, write.value, write.version);
    }
    let state: BTreeMap<&str, &Json> =
        seen.state.iter().map(|(name, object)| (name.as_str(), &object["data"])).collect();
    let there = end.iter().map(|(name, object)| (name.as_str(), &object["data"])).collect();
    assert_eq!(state, there, "what was seen is not what there is");
}
