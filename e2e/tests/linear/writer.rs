//! A client that writes objects of its own, each write exactly once whatever happens to the servers: who is not answered looks
//! what became of the write before it goes on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use e2e::bench::load::Connection;
use http::Method;
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use crate::failover::{JSON, MAPS, Outcome, PATIENCE, Pair};

/// Tries before a test gives up.
const TRIES: usize = 50;
/// Changes of an object before the next one is made.
const CHANGES: u64 = 4;

/// A write that the server said was done.
pub struct Acknowledged {
    pub name: String,
    pub value: u64,
    /// The resourceVersion it gave the object.
    pub version: u64,
}

pub struct Writer {
    number: usize,
    pair: Pair,
    connection: Option<Connection>,
    done: Vec<Acknowledged>,
}

impl Writer {
    pub fn new(number: usize, pair: Pair) -> Self {
        Self { number, pair, connection: None, done: Vec::new() }
    }

    pub async fn run(mut self, stop: Arc<AtomicBool>) -> (Vec<Acknowledged>, Outcome) {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("w{}-{n}", self.number);
            let mut version = self.create(&name).await;
            for value in 1..=CHANGES {
                version = self.replace(&name, value, version).await;
            }
        }
        (self.done, self.pair.outcome)
    }

    /// Makes an object with the value zero; its version.
    pub async fn create(&mut self, name: &str) -> u64 {
        let body = json!({"metadata": {"name": name}, "data": {"v": "0"}}).to_string();
        let (code, object) = self.ask(Method::POST, MAPS, &body).await;
        let object = match code {
            201 => object,
            // A try that was not answered did it: nobody else uses the name.
            409 => self.get(name).await,
            _ => panic!("creating {name}: {code} {object}"),
        };
        self.acknowledge(name, 0, &object)
    }

    async fn replace(&mut self, name: &str, value: u64, version: u64) -> u64 {
        let at = format!("{MAPS}/{name}");
        let metadata = json!({"name": name, "resourceVersion": version.to_string()});
        let body = json!({"metadata": metadata, "data": {"v": value.to_string()}}).to_string();
        let (code, object) = self.ask(Method::PUT, &at, &body).await;
        let object = match code {
            200 => object,
            409 => self.get(name).await,
            _ => panic!("writing {name}: {code} {object}"),
        };
        self.acknowledge(name, value, &object)
    }

    async fn get(&mut self, name: &str) -> Json {
        let (code, object) = self.ask(Method::GET, &format!("{MAPS}/{name}"), "").await;
        assert_eq!(code, 200, "reading {name}: {object}");
        object
    }

    /// Every object there is, by its name.
    pub async fn list(&mut self) -> BTreeMap<String, Json> {
        let (code, list) = self.ask(Method::GET, MAPS, "").await;
        assert_eq!(code, 200, "listing: {list}");
        let named = |item: &Json| Some((item["metadata"]["name"].as_str()?.to_owned(), item.clone()));
        list["items"].as_array().into_iter().flatten().filter_map(named).collect()
    }

    fn acknowledge(&mut self, name: &str, value: u64, object: &Json) -> u64 {
        assert_eq!(object["data"]["v"], value.to_string(), "another write than the one that was made: {object}");
        let version = version_of(object);
        self.done.push(Acknowledged { name: name.to_owned(), value, version });
        version
    }

    /// Asks one server after the other until one answers for good.
    async fn ask(&mut self, method: Method, path: &str, body: &str) -> (u16, Json) {
        for _ in 0..TRIES {
            match timeout(PATIENCE, self.attempt(method.clone(), path, body)).await {
                // A server that goes down says so.
                Ok(Ok((code, object))) if code < 500 && code != 429 => {
                    self.pair.answered();
                    return (code, object);
                }
                _ => {
                    self.connection = None;
                    self.pair.failed();
                }
            }
        }
        panic!("no server answers {method} {path}");
    }

    async fn attempt(&mut self, method: Method, path: &str, body: &str) -> anyhow::Result<(u16, Json)> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.pair.target().connect().await?),
        };
        let (code, bytes) = connection.answer(method, path, JSON, Bytes::from(body.to_owned())).await?;
        Ok((code.as_u16(), serde_json::from_slice(&bytes)?))
    }
}

pub fn version_of(object: &Json) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|version| version.parse().ok()).unwrap_or_else(|| panic!("no resourceVersion in {object}"))
}
