//! A client that lists once and then watches, on the other server from where it stood when it loses one.

use std::{collections::BTreeMap, ops::RangeInclusive};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value as Json;
use tokio::time::timeout;

use crate::{
    failover::{JSON, LAST, MAPS, Outcome, PATIENCE, Pair},
    writer::version_of,
};

/// Everything a watcher was told.
#[derive(Default)]
pub struct Seen {
    /// The version of each change, as they came.
    pub versions: Vec<u64>,
    /// What was skipped by a list, after a 410 or at the start.
    pub listed: Vec<RangeInclusive<u64>>,
    pub state: BTreeMap<String, Json>,
    at: u64,
    ended: bool,
}

pub async fn run(mut pair: Pair) -> (Seen, Outcome) {
    let mut seen = Seen::default();
    let mut must_list = true;
    while !seen.ended {
        match follow(&mut pair, &mut seen, &mut must_list).await {
            Ok(()) => {}
            Err(_) => pair.failed(),
        }
    }
    (seen, pair.outcome)
}

/// Watches one server until it ends the watch.
async fn follow(pair: &mut Pair, seen: &mut Seen, must_list: &mut bool) -> anyhow::Result<()> {
    let mut connection = timeout(PATIENCE, pair.target().connect()).await??;
    if *must_list {
        let (code, list) = timeout(PATIENCE, connection.answer(Method::GET, MAPS, JSON, Bytes::new())).await??;
        ensure!(code.is_success(), "{code}");
        seen.list(&serde_json::from_slice(&list)?);
        *must_list = false;
    }
    let at = format!("{MAPS}?watch=true&allowWatchBookmarks=true&resourceVersion={}", seen.at);
    let answer = timeout(PATIENCE, connection.begin(Method::GET, &at, JSON, Bytes::new())).await??;
    *must_list = answer.status() == http::StatusCode::GONE;
    ensure!(answer.status().is_success(), "{}", answer.status());
    pair.answered();
    let (mut body, mut text) = (answer.into_body(), Vec::new());
    while !seen.ended {
        let frame = body.frame().await.context("the watch ended")??;
        text.extend_from_slice(frame.data_ref().context("no data")?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let event: Json = serde_json::from_slice(&text[..end])?;
            text.drain(..=end);
            *must_list = event["type"] == "ERROR" && event["object"]["code"] == 410;
            ensure!(event["type"] != "ERROR", "{event}");
            seen.event(&event);
        }
    }
    Ok(())
}

impl Seen {
    fn list(&mut self, list: &Json) {
        let at = version_of(list);
        self.listed.push(self.at..=at);
        self.at = at;
        self.state.clear();
        for item in list["items"].as_array().into_iter().flatten() {
            self.state.insert(name_of(item), item.clone());
        }
        self.ended = self.state.contains_key(LAST);
    }

    fn event(&mut self, event: &Json) {
        let object = &event["object"];
        self.at = version_of(object);
        match event["type"].as_str() {
            Some("BOOKMARK") => return,
            Some("DELETED") => drop(self.state.remove(&name_of(object))),
            _ => drop(self.state.insert(name_of(object), object.clone())),
        }
        self.versions.push(self.at);
        self.ended = name_of(object) == LAST;
    }
}

fn name_of(object: &Json) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
