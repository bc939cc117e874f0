//! A client that makes one call after the other on a few keys, on either server, and writes down what it was answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::bench::load::{Connection, Target};
use http::Method;
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use crate::{
    chance::Chance,
    checker::{Answer, Call, Operation, Value},
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
/// Whoever has no answer by then does not know.
const PATIENCE: Duration = Duration::from_secs(3);
pub const KEYS: usize = 3;

pub struct Client {
    pub number: usize,
    /// Of this round: names no other round uses.
    pub round: u64,
    pub targets: [Target; 2],
    pub chance: Chance,
    pub begun: Instant,
    connection: Option<Connection>,
    written: u32,
    /// Value and resourceVersion last seen of each key.
    last: [Option<(Value, String)>; KEYS],
    pub calls: [Vec<Call>; KEYS],
}

impl Client {
    pub fn new(number: usize, round: u64, targets: [Target; 2], chance: Chance, begun: Instant) -> Self {
        let (last, calls) = (<[_; KEYS]>::default(), <[_; KEYS]>::default());
        Self { number, round, targets, chance, begun, connection: None, written: 0, last, calls }
    }

    pub async fn run(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            if self.chance.below(6) == 0 {
                self.list().await;
            } else {
                let key = self.chance.below(KEYS as u64) as usize;
                let operation = self.choose(key);
                self.call(key, operation).await;
            }
            sleep(Duration::from_millis(self.chance.below(25))).await;
        }
        self
    }

    fn choose(&mut self, key: usize) -> Operation {
        let last = self.last[key].as_ref().map(|(value, _)| *value);
        match (self.chance.below(10), last) {
            (0..4, _) => Operation::Read,
            (4, _) => Operation::Delete,
            (5 | 6, Some(last)) => Operation::Swap(last, self.new_value()),
            (7, _) => Operation::Put(self.new_value()),
            (_, None) => Operation::Create(self.new_value()),
            (_, Some(_)) => Operation::Put(self.new_value()),
        }
    }

    fn new_value(&mut self) -> Value {
        self.written += 1;
        self.number as Value * 100_000 + self.written
    }

    fn name(&self, key: usize) -> String {
        format!("r{}-k{key}", self.round)
    }

    async fn call(&mut self, key: usize, operation: Operation) {
        let (name, at) = (self.name(key), format!("{MAPS}/{}", self.name(key)));
        let labels = json!({"round": self.round.to_string()});
        let body = |value: &Value, version: Option<&str>| {
            let metadata = json!({"name": name, "labels": labels, "resourceVersion": version});
            Bytes::from(json!({"metadata": metadata, "data": {"v": value.to_string()}}).to_string())
        };
        let version = self.last[key].as_ref().map(|(_, version)| version.clone());
        let request = match &operation {
            Operation::Read => (Method::GET, at, Bytes::new()),
            Operation::Create(value) => (Method::POST, MAPS.to_owned(), body(value, None)),
            Operation::Put(value) => (Method::PUT, at, body(value, None)),
            Operation::Swap(_, value) => (Method::PUT, at, body(value, version.as_deref())),
            Operation::Delete => (Method::DELETE, at, Bytes::new()),
        };
        let called = self.now();
        let Some((code, object)) = self.ask(request).await else { return };
        let answered = self.now();
        let is_read = operation == Operation::Read;
        let answer = match code {
            200 if is_read => Answer::Found(value_of(&object)),
            404 if is_read => Answer::Found(None),
            200 | 201 => Answer::Done,
            404 => Answer::Absent,
            // A replacement that names no version and gave up against others did nothing.
            409 if matches!(operation, Operation::Put(_) | Operation::Delete) => return,
            409 => Answer::Conflict,
            // A read that failed tells nothing.
            _ if is_read => return,
            _ => Answer::Unknown,
        };
        self.remember(key, &operation, &answer, &object);
        self.calls[key].push(Call { operation, answer, called, answered });
    }

    fn remember(&mut self, key: usize, operation: &Operation, answer: &Answer, object: &Json) {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        match (operation, answer) {
            (Operation::Delete, _) | (_, Answer::Absent | Answer::Found(None)) => self.last[key] = None,
            (_, Answer::Found(Some(value))) => self.last[key] = Some((*value, version)),
            (Operation::Create(value) | Operation::Put(value) | Operation::Swap(_, value), Answer::Done) => {
                self.last[key] = Some((*value, version));
            }
            _ => {}
        }
    }

    /// One list is a read of every key.
    async fn list(&mut self) {
        let at = format!("{MAPS}?labelSelector=round%3D{}", self.round);
        let called = self.now();
        let Some((code, list)) = self.ask((Method::GET, at, Bytes::new())).await else { return };
        let answered = self.now();
        if code != 200 {
            return;
        }
        for key in 0..KEYS {
            let name = self.name(key);
            let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let found = items.iter().find(|item| item["metadata"]["name"] == name.as_str()).and_then(value_of);
            let (operation, answer) = (Operation::Read, Answer::Found(found));
            self.calls[key].push(Call { operation, answer, called, answered });
        }
    }

    /// The status code, 0 if there was no answer, and the body; `None` if nothing was sent.
    async fn ask(&mut self, (method, path, body): (Method, String, Bytes)) -> Option<(u16, Json)> {
        if self.connection.is_none() {
            let server = self.chance.below(2) as usize;
            self.connection = timeout(PATIENCE, self.targets[server].connect()).await.ok()?.ok();
        }
        let connection = self.connection.as_mut()?;
        match timeout(PATIENCE, connection.answer(method, &path, JSON, body)).await {
            Ok(Ok((code, bytes))) => Some((code.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())),
            _ => {
                self.connection = None;
                Some((0, Json::Null))
            }
        }
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}

fn value_of(object: &Json) -> Option<Value> {
    object["data"]["v"].as_str()?.parse().ok()
}
