//! Keys that want work, each worked on by one worker at a time.
//!
//! A key that is added while it is being worked on comes back when that is done. The queue holds a key at most once, so
//! that its size is bounded by the number of objects.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::backoff::exponential;

mod metrics;
use metrics::Metrics;

const FIRST_RETRY: Duration = Duration::from_millis(5);
/// Short, so that what failed in an outage is done soon after it.
const LONGEST_RETRY: Duration = Duration::from_secs(15);

pub struct WorkQueue<Key> {
    state: Mutex<State<Key>>,
    news: Notify,
    metrics: Metrics,
}

struct State<Key> {
    ready: VecDeque<Key>,
    /// Wants work: waiting in `ready`, or to be put there when the worker is done. Since when.
    dirty: HashMap<Key, Instant>,
    working: HashMap<Key, Instant>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    delayed_keys: HashMap<u64, Key>,
    /// When each delayed key comes first.
    due: HashMap<Key, (Instant, u64)>,
    failures: HashMap<Key, u32>,
    sequence: u64,
    closed: bool,
}

impl<Key: Clone + Eq + Hash + Send> WorkQueue<Key> {
    /// `name` labels the queue's metrics.
    pub fn new(name: &str) -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                dirty: HashMap::new(),
                working: HashMap::new(),
                delayed: BinaryHeap::new(),
                delayed_keys: HashMap::new(),
                due: HashMap::new(),
                failures: HashMap::new(),
                sequence: 0,
                closed: false,
            }),
            news: Notify::new(),
            metrics: Metrics::new(name),
        }
    }

    pub fn add(&self, key: Key) {
        let mut state = self.state.lock();
        if self.enqueue(&mut state, key) {
            drop(state);
            self.news.notify_one();
        }
    }

    /// Adds the key later; the earliest of several times counts.
    pub fn add_after(&self, key: Key, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut state = self.state.lock();
        let at = Instant::now() + delay;
        if state.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        state.sequence += 1;
        let number = state.sequence;
        if let Some((_, former)) = state.due.insert(key.clone(), (at, number)) {
            state.delayed_keys.remove(&former);
        }
        state.delayed.push(Reverse((at, number)));
        state.delayed_keys.insert(number, key);
        drop(state);
        self.news.notify_one();
    }

    /// Adds the key after a pause that grows with each call until [`WorkQueue::forget`].
    pub fn add_rate_limited(&self, key: Key) {
        let failures = {
            let mut state = self.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures - 1
        };
        self.metrics.retries.inc();
        self.add_after(key, exponential(FIRST_RETRY, LONGEST_RETRY, failures));
    }

    /// The key's work succeeded: its next failure waits shortly again.
    pub fn forget(&self, key: &Key) {
        self.state.lock().failures.remove(key);
    }

    /// The next key; waits for it. `None` once the queue is closed. Every key must be given back to
    /// [`WorkQueue::done`]. Cancel safe.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let wait = {
                let mut state = self.state.lock();
                if state.closed {
                    return None;
                }
                self.ripen(&mut state);
                if let Some(key) = state.ready.pop_front() {
                    let now = Instant::now();
                    if let Some(since) = state.dirty.remove(&key) {
                        self.metrics.waited.observe((now - since).as_secs_f64());
                    }
                    state.working.insert(key.clone(), now);
                    self.metrics.depth.set(state.ready.len() as i64);
                    if !state.ready.is_empty() {
                        self.news.notify_one();
                    }
                    return Some(key);
                }
                state.delayed.peek().map(|Reverse((at, _))| *at)
            };
            match wait {
                None => self.news.notified().await,
                Some(at) => {
                    // Either way the state is looked at again.
                    let _ = tokio::time::timeout_at(at, self.news.notified()).await;
                }
            }
        }
    }

    /// The worker has finished with the key.
    pub fn done(&self, key: &Key) {
        let mut state = self.state.lock();
        if let Some(begun) = state.working.remove(key) {
            self.metrics.worked.observe(begun.elapsed().as_secs_f64());
        }
        if state.dirty.contains_key(key) {
            state.ready.push_back(key.clone());
            self.metrics.depth.set(state.ready.len() as i64);
            drop(state);
            self.news.notify_one();
        }
    }

    /// Ends all workers after the key they are at.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.news.notify_waiters();
        self.news.notify_one();
    }

    pub fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enqueue(&self, state: &mut State<Key>, key: Key) -> bool {
        if state.closed || state.dirty.contains_key(&key) {
            return false;
        }
        self.metrics.adds.inc();
        state.dirty.insert(key.clone(), Instant::now());
        if state.working.contains_key(&key) {
            return false;
        }
        state.ready.push_back(key);
        self.metrics.depth.set(state.ready.len() as i64);
        true
    }

    /// Moves what is due to the ready keys.
    fn ripen(&self, state: &mut State<Key>) {
        let now = Instant::now();
        while let Some(Reverse((at, number))) = state.delayed.peek().copied() {
            let current = state.delayed_keys.contains_key(&number);
            if current && at > now {
                break;
            }
            state.delayed.pop();
            if let Some(key) = state.delayed_keys.remove(&number) {
                state.due.remove(&key);
                self.enqueue(state, key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
