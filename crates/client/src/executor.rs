//! Carrying out plans.
//!
//! After a plan's writes the executor waits until the stores it knows have them, so that the next decision about the
//! same key is never made on a cache without our own last write. When that takes longer than 30 s it goes on, and counts
//! it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use api_types::{
    GroupVersionResource,
    object::{Object, Resource},
    plan::{Failure, Note, Pace, Plan, Stage, Step, Write},
};
use futures::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use parking_lot::RwLock;
use prometheus::{IntCounterVec, Opts};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    api::{Api, Error},
    recorder::Recorder,
    store::Store,
};

const SETTLE_WITHIN: Duration = Duration::from_secs(30);
/// Writes of one stage under way at once.
const AT_ONCE: usize = 64;

static UNSETTLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let opts = Opts::new("kogge_unsettled_writes_total", "Writes that did not show in the cache in time");
    let counter = IntCounterVec::new(opts, &["resource"]).expect("a valid metric");
    crate::metrics::register(counter.clone());
    counter
});

/// A store as the executor sees it.
trait Settles: Send + Sync {
    fn reaches(&self, revision: u64) -> BoxFuture<'_, bool>;
    fn loses<'a>(&'a self, namespace: &'a str, name: &'a str, uid: &'a str) -> BoxFuture<'a, bool>;
    fn lists_again(&self) -> BoxFuture<'_, bool>;
}

impl<K: Object> Settles for Store<K> {
    fn reaches(&self, revision: u64) -> BoxFuture<'_, bool> {
        Box::pin(self.wait_revision(revision, SETTLE_WITHIN))
    }
    fn loses<'a>(&'a self, namespace: &'a str, name: &'a str, uid: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(self.wait_gone(namespace, name, uid, SETTLE_WITHIN))
    }
    fn lists_again(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.list_again(SETTLE_WITHIN))
    }
}

/// Writes with one identity. Clones share everything.
#[derive(Clone)]
pub struct Executor {
    api: Api,
    recorder: Recorder,
    stores: Arc<RwLock<HashMap<GroupVersionResource, Arc<dyn Settles>>>>,
}

/// A write that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {what}")]
pub struct WriteError {
    pub verb: &'static str,
    pub what: String,
    pub failure: Failure,
    #[source]
    pub source: Error,
}

impl WriteError {
    /// Lost a race with another writer, or with the end of the namespace: nothing to report, decide again.
    pub fn is_stale(&self) -> bool {
        self.source.is_conflict() || self.source.is_not_found() || terminating(&self.source)
    }
}

/// What the cache must have before the next decision.
enum Settle {
    Nothing,
    Revision(Resource, u64),
    Gone { resource: Resource, namespace: String, name: String, uid: String },
    Unknown(Resource),
}

impl Settle {
    /// Of several writes of one kind the last one is enough: a store reaches revisions in order.
    fn needed(all: Vec<Self>) -> Vec<Self> {
        let mut newest: HashMap<GroupVersionResource, (Resource, u64)> = HashMap::new();
        let mut needed = Vec::new();
        for settle in all {
            match settle {
                Self::Nothing => {}
                Self::Revision(resource, revision) => {
                    let entry = newest.entry(resource.gvr()).or_insert((resource, revision));
                    entry.1 = entry.1.max(revision);
                }
                other => needed.push(other),
            }
        }
        needed.extend(newest.into_values().map(|(resource, revision)| Self::Revision(resource, revision)));
        needed
    }
}

impl Executor {
    pub fn new(client: kube::Client, recorder: Recorder) -> Self {
        Self { api: client.into(), recorder, stores: Arc::default() }
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Decisions are made from `store`: wait for our writes to show in it.
    pub fn observe<K: Object>(&self, resource: &Resource, store: &Store<K>) {
        self.stores.write().insert(resource.gvr(), Arc::new(store.clone()));
    }

    /// No more decisions are made from the store of this resource, which may end.
    pub fn forget(&self, resource: &Resource) {
        self.stores.write().remove(&resource.gvr());
    }

    /// Runs the stages until one fails, and returns once the stores have what was written.
    ///
    /// # Errors
    /// The first failed write of the stage that ended the plan.
    pub async fn run(&self, plan: &Plan) -> Result<(), WriteError> {
        let mut settle = Vec::new();
        let mut outcome = Ok(());
        for stage in &plan.stages {
            outcome = self.stage(stage, &mut settle).await;
            if outcome.is_err() {
                break;
            }
        }
        join_all(Settle::needed(settle).iter().map(|settle| self.settle(settle))).await;
        if outcome.is_ok() {
            for note in &plan.notes {
                self.recorder.note(note);
            }
        }
        outcome
    }

    /// Keeps as many writes under way as the pace allows: none waits for the end of a batch.
    async fn stage(&self, stage: &Stage, settle: &mut Vec<Settle>) -> Result<(), WriteError> {
        let (mut room, grows) = match stage.pace {
            Pace::InOrder => (1, false),
            Pace::SlowStart => (1, true),
            Pace::Together => (AT_ONCE, false),
        };
        let mut outcome = Ok(());
        let mut left = stage.steps.iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            let goes_on = outcome.is_ok() || stage.pace == Pace::Together;
            while goes_on
                && under_way.len() < room
                && let Some(step) = left.next()
            {
                under_way.push(self.step(step));
            }
            let Some((written, result)) = under_way.next().await else { return outcome };
            settle.push(written);
            if result.is_ok() && grows {
                // One more for each that succeeds: twice as many each round trip.
                room = (room + 1).min(AT_ONCE);
            }
            outcome = outcome.and(result);
        }
    }

    async fn step(&self, step: &Step) -> (Settle, Result<(), WriteError>) {
        match self.write(&step.write).await {
            Ok((name, settle)) => {
                if let Some(note) = &step.done {
                    self.recorder.note(&filled(note, "{name}", &name));
                }
                (settle, Ok(()))
            }
            Err(error) => {
                if let Some(note) = &step.failed
                    && !terminating(&error)
                {
                    self.recorder.note(&filled(note, "{error}", &said(&error)));
                }
                let settle = match &error {
                    Error::Unknown(_) | Error::Unreadable(_) => Settle::Unknown(step.write.resource().clone()),
                    Error::Refused(_) => Settle::Nothing,
                };
                (settle, Err(write_error(&step.write, error)))
            }
        }
    }

    /// The name of the object written, and what to wait for.
    async fn write(&self, write: &Write) -> Result<(String, Settle), Error> {
        let resource = write.resource();
        match write {
            Write::Create { namespace, object, .. } => {
                self.api.create(resource, namespace, object).await.map(|answer| written(resource, answer))
            }
            Write::Ensure { namespace, object, .. } => match self.api.create(resource, namespace, object).await {
                Err(error) if error.already_exists() => Ok((String::new(), Settle::Nothing)),
                outcome => outcome.map(|answer| written(resource, answer)),
            },
            Write::Patch { target, subresource, style, body } => {
                self.api.patch(target, *subresource, *style, body).await.map(|answer| written(resource, answer))
            }
            Write::Replace { target, subresource, object } => {
                self.api.replace(target, *subresource, object).await.map(|answer| written(resource, answer))
            }
            Write::Post { target, subresource, object } => {
                let path = format!("{}/{subresource}", resource.object_path(&target.namespace, &target.name));
                self.api.post::<IgnoredAny>(&path, object).await?;
                Ok((target.name.clone(), Settle::Nothing))
            }
            Write::Delete { target, propagation, grace_seconds } => {
                let gone = || Settle::Gone {
                    resource: resource.clone(),
                    namespace: target.namespace.clone(),
                    name: target.name.clone(),
                    uid: target.uid.clone().unwrap_or_default(),
                };
                match self.api.delete(target, *propagation, *grace_seconds).await.and_then(Answer::read) {
                    Ok(answer) if answer.kind == "Status" => Ok((target.name.clone(), gone())),
                    Ok(answer) => {
                        let lives_on = answer.metadata.deletion_timestamp.is_some();
                        let (name, revision) = written(resource, answer);
                        Ok((name, if lives_on { revision } else { gone() }))
                    }
                    Err(error) if error.is_not_found() => Ok((target.name.clone(), gone())),
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn settle(&self, settle: &Settle) {
        let resource = match settle {
            Settle::Nothing => return,
            Settle::Revision(resource, _) | Settle::Gone { resource, .. } | Settle::Unknown(resource) => resource,
        };
        let Some(store) = self.stores.read().get(&resource.gvr()).cloned() else { return };
        let settled = match settle {
            Settle::Nothing => true,
            Settle::Revision(_, revision) => store.reaches(*revision).await,
            Settle::Gone { namespace, name, uid, .. } => store.loses(namespace, name, uid).await,
            Settle::Unknown(_) => store.lists_again().await,
        };
        if !settled {
            UNSETTLED.with_label_values(&[&resource.plural]).inc();
            tracing::warn!(resource = %resource.plural, "our own write does not show in the cache");
        }
    }
}

/// What is read of the server's answer to a write.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    kind: String,
    metadata: AnswerMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerMetadata {
    name: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

impl Answer {
    fn read(object: Value) -> Result<Self, Error> {
        serde_json::from_value(object).map_err(Error::Unreadable)
    }
}

fn written(resource: &Resource, answer: Answer) -> (String, Settle) {
    let AnswerMetadata { name, resource_version, .. } = answer.metadata;
    let revision = resource_version.parse().ok();
    (name, revision.map_or(Settle::Nothing, |revision| Settle::Revision(resource.clone(), revision)))
}

fn filled(note: &Note, place: &str, text: &str) -> Note {
    Note { text: note.text.replace(place, text), ..note.clone() }
}

/// A namespace that is being deleted takes no new objects: nothing anyone could act on.
fn terminating(error: &Error) -> bool {
    error
        .status()
        .and_then(|status| status.details.as_ref())
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

fn said(error: &Error) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

fn write_error(write: &Write, source: Error) -> WriteError {
    let (verb, name) = match write {
        Write::Create { namespace, object, .. } | Write::Ensure { namespace, object, .. } => {
            let metadata = &object["metadata"];
            let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default();
            ("create", format!("{namespace}/{name}"))
        }
        Write::Patch { target, .. } => ("patch", format!("{}/{}", target.namespace, target.name)),
        Write::Replace { target, .. } => ("update", format!("{}/{}", target.namespace, target.name)),
        Write::Post { target, .. } => ("create", format!("{}/{}", target.namespace, target.name)),
        Write::Delete { target, .. } => ("delete", format!("{}/{}", target.namespace, target.name)),
    };
    let resource = write.resource().clone();
    let failure =
        Failure { verb: write.verb(), message: said(&source), code: source.code(), resource: resource.clone() };
    WriteError { verb, what: format!("{} {}", resource.plural, name.trim_start_matches('/')), failure, source }
}

#[cfg(test)]
mod tests;
