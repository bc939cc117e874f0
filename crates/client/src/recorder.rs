//! Reporting events about objects, as upstream's recorder does.
//!
//! The same event again raises the count of the one there is; many that differ only in their text become one; an object
//! that causes a flood is silenced for a while. Reporting never blocks: what does not fit the queue is dropped and
//! counted.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use api_types::{
    k8s_openapi::api::core::v1::{Event, ObjectReference},
    object::Watched,
    plan::{Note, PatchStyle, Target},
};
use component::{Clock, Shutdown};
use jiff::Timestamp;
use prometheus::IntCounter;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::Api;

const QUEUE: usize = 1000;
/// Objects and texts remembered; the older half is forgotten when there are more.
const REMEMBERED: usize = 4096;
/// More texts than this of one reason, within `SIMILAR_WITHIN`, become one event.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
const BURST: f64 = 25.0;
const REFILL_EVERY: f64 = 300.0;

static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let counter = IntCounter::new("kogge_events_dropped_total", "Events that did not fit the recorder's queue")
        .expect("a valid metric");
    crate::metrics::register(counter.clone());
    counter
});

/// Reports events in the name of one component. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    component: Arc<str>,
    instance: Arc<str>,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Occurrence>,
}

struct Occurrence {
    at: Timestamp,
    component: Arc<str>,
    instance: Arc<str>,
    warning: bool,
    reason: String,
    text: String,
    action: String,
    regarding: ObjectReference,
    related: Option<ObjectReference>,
}

impl Recorder {
    /// `instance` is the host or pod this process runs on.
    pub fn new(
        client: kube::Client,
        component: &str,
        instance: &str,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let writer = Writer { api: client.into(), memory: Memory::default() };
        tokio::spawn(async move {
            shutdown.or(writer.run(inbox)).await;
        });
        Self { component: component.into(), instance: instance.into(), clock, queue }
    }

    /// The same recorder, reporting as another component (`deployment-controller`).
    pub fn named(&self, component: &str) -> Self {
        Self { component: component.into(), ..self.clone() }
    }

    pub fn note(&self, note: &Note) {
        self.send(note, String::new(), None);
    }

    /// With what was attempted (`Binding`), and what else it concerns.
    pub fn note_action(&self, note: &Note, action: &str, related: Option<ObjectReference>) {
        self.send(note, action.to_owned(), related);
    }

    fn send(&self, note: &Note, action: String, related: Option<ObjectReference>) {
        let occurrence = Occurrence {
            at: self.clock.now(),
            component: self.component.clone(),
            instance: self.instance.clone(),
            warning: note.warning,
            reason: note.reason.to_owned(),
            text: truncated(&note.text, 1024),
            action,
            regarding: note.regarding.clone(),
            related,
        };
        if self.queue.try_send(occurrence).is_err() {
            DROPPED.inc();
        }
    }
}

/// Event messages are limited by the API.
fn truncated(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

struct Writer {
    api: Api,
    memory: Memory,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Occurrence>) {
        while let Some(occurrence) = inbox.recv().await {
            let Some(write) = self.memory.decide(&occurrence) else { continue };
            let outcome = match &write {
                Report::New { name, body } => self.create(&occurrence, name, body).await,
                Report::Again { name, body } => match self.patch(&occurrence, name, body).await {
                    // Events end after an hour: begin a new one.
                    Err(error) if error.is_not_found() => {
                        let (name, body) = self.memory.afresh(&occurrence);
                        self.create(&occurrence, &name, &body).await
                    }
                    outcome => outcome,
                },
            };
            if let Err(error) = outcome {
                let error = anyhow::Error::new(error);
                tracing::debug!(reason = occurrence.reason, "event not reported: {error:#}");
            }
        }
    }

    async fn create(&self, occurrence: &Occurrence, name: &str, body: &Value) -> Result<(), crate::Error> {
        let mut event = body.clone();
        event["metadata"] = json!({"name": name, "namespace": occurrence.namespace()});
        self.api.create::<Value>(&Event::RESOURCE, occurrence.namespace(), &event).await.map(drop)
    }

    async fn patch(&self, occurrence: &Occurrence, name: &str, body: &Value) -> Result<(), crate::Error> {
        let target = Target::named(Event::RESOURCE, occurrence.namespace(), name);
        self.api.patch::<Value>(&target, None, PatchStyle::Merge, body).await.map(drop)
    }
}

enum Report {
    New { name: String, body: Value },
    Again { name: String, body: Value },
}

impl Occurrence {
    fn namespace(&self) -> &str {
        self.regarding.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
    }

    fn object(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let r = &self.regarding;
        [&r.kind, &r.namespace, &r.name, &r.uid, &r.field_path].map(text).join("/")
    }

    /// What similar events have in common.
    fn group(&self) -> String {
        format!("{}|{}|{}|{}", self.component, self.object(), self.warning, self.reason)
    }

    fn body(&self, first: Timestamp, count: u32, text: &str) -> Value {
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "involvedObject": self.regarding,
            "type": if self.warning { "Warning" } else { "Normal" },
            "reason": self.reason,
            "message": text,
            "source": {"component": &*self.component, "host": &*self.instance},
            "reportingComponent": &*self.component,
            "reportingInstance": &*self.instance,
            "firstTimestamp": seconds(first),
            "lastTimestamp": seconds(self.at),
            "count": count,
        });
        if !self.action.is_empty() {
            body["action"] = json!(self.action);
        }
        if let Some(related) = &self.related {
            body["related"] = json!(related);
        }
        body
    }

    fn name(&self) -> String {
        let name = self.regarding.name.as_deref().unwrap_or("unknown");
        format!("{name}.{:x}", self.at.as_nanosecond())
    }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What was reported before: decides whether an occurrence is a new event, another of one, or too much.
#[derive(Default)]
struct Memory {
    events: HashMap<String, Reported>,
    similar: HashMap<String, Similar>,
    budgets: HashMap<String, Budget>,
}

struct Reported {
    name: String,
    first: Timestamp,
    last: Timestamp,
    count: u32,
}

struct Similar {
    since: Timestamp,
    texts: HashSet<String>,
}

struct Budget {
    left: f64,
    at: Timestamp,
}

impl Memory {
    fn decide(&mut self, occurrence: &Occurrence) -> Option<Report> {
        self.forget_old();
        if !self.spend(occurrence) {
            return None;
        }
        let (key, text) = self.key(occurrence);
        match self.events.get_mut(&key) {
            Some(reported) => {
                reported.count += 1;
                reported.last = occurrence.at;
                let body = json!({"count": reported.count, "message": text, "lastTimestamp": seconds(occurrence.at)});
                Some(Report::Again { name: reported.name.clone(), body })
            }
            None => {
                let (name, body) = self.begin(key, occurrence, &text);
                Some(Report::New { name, body })
            }
        }
    }

    fn afresh(&mut self, occurrence: &Occurrence) -> (String, Value) {
        let (key, text) = self.key(occurrence);
        self.begin(key, occurrence, &text)
    }

    fn begin(&mut self, key: String, occurrence: &Occurrence, text: &str) -> (String, Value) {
        let (name, at) = (occurrence.name(), occurrence.at);
        self.events.insert(key, Reported { name: name.clone(), first: at, last: at, count: 1 });
        (name, occurrence.body(at, 1, text))
    }

    /// The event that this is one of, and its text.
    fn key(&mut self, occurrence: &Occurrence) -> (String, String) {
        let group = occurrence.group();
        let similar = self
            .similar
            .entry(group.clone())
            .or_insert_with(|| Similar { since: occurrence.at, texts: HashSet::new() });
        if age(similar.since, occurrence.at) > SIMILAR_WITHIN.as_secs_f64() {
            similar.texts.clear();
            similar.since = occurrence.at;
        }
        if similar.texts.len() < SIMILAR {
            similar.texts.insert(occurrence.text.clone());
        }
        if similar.texts.len() < SIMILAR || similar.texts.contains(&occurrence.text) {
            (format!("{group}|{}", occurrence.text), occurrence.text.clone())
        } else {
            (group, format!("(combined from similar events): {}", occurrence.text))
        }
    }

    /// Takes one event from the object's budget; false when there is none left.
    fn spend(&mut self, occurrence: &Occurrence) -> bool {
        let key = format!("{}|{}", occurrence.component, occurrence.object());
        let budget = self.budgets.entry(key).or_insert(Budget { left: BURST, at: occurrence.at });
        budget.left = (budget.left + age(budget.at, occurrence.at) / REFILL_EVERY).min(BURST);
        budget.at = occurrence.at;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }

    fn forget_old(&mut self) {
        if self.events.len() > REMEMBERED {
            let mut ages: Vec<Timestamp> = self.events.values().map(|reported| reported.last).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            self.events.retain(|_, reported| reported.last > middle && reported.first <= reported.last);
        }
        if self.similar.len() > REMEMBERED {
            self.similar.clear();
        }
        if self.budgets.len() > REMEMBERED {
            self.budgets.clear();
        }
    }
}

fn age(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;
