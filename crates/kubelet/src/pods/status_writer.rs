//! Carries one pod's status to the API: only changes, one request at a time, the newest wins, and
//! none is lost. When the pod is to go, its object is deleted after its last status has arrived.
//!
//! The status of a static pod goes to its mirror, whichever there is.

use crate::context::Context;
use api_types::plan::{PatchStyle, Target};
use client::Backoff;
use parking_lot::Mutex;
use pod_lifecycle::{
    core::{Pod, PodStatus},
    names, status,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::AbortHandle};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub struct StatusWriter {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    wanted: Option<(Arc<Pod>, PodStatus)>,
    /// What the API has, as far as we know.
    base: Option<PodStatus>,
    /// The revision at which `base` was true.
    revision: u64,
    delete: bool,
    /// The object that shows the pod.
    shown_by: Shown,
}

#[derive(Default)]
enum Shown {
    /// Its own.
    #[default]
    Itself,
    Mirror(Arc<Pod>),
    /// There is none, or it is no longer ours to write.
    Nothing,
}

enum Work {
    Patch(Arc<Pod>, Box<PodStatus>, serde_json::Value),
    Delete(Arc<Pod>),
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StatusWriter {
    /// `mirrored` pods have no object of their own.
    pub fn new(context: Arc<Context>, mirrored: bool) -> Self {
        let shared = Arc::new(Shared::default());
        if mirrored {
            shared.state.lock().shown_by = Shown::Nothing;
        }
        let task = tokio::spawn(run(context, shared.clone())).abort_handle();
        Self { shared, task }
    }

    /// The API shows this; others may have written since our last write.
    pub fn seen_in_api(&self, pod: &Pod) {
        let revision = revision(pod);
        let mut state = self.shared.state.lock();
        if revision > state.revision {
            state.revision = revision;
            state.base = pod.status.clone();
            drop(state);
            self.shared.news.notify_one();
        }
    }

    /// The mirror that there is now.
    pub fn mirror(&self, mirror: Option<Arc<Pod>>) {
        let mut state = self.shared.state.lock();
        match mirror {
            Some(mirror) => {
                let another =
                    !matches!(&state.shown_by, Shown::Mirror(known) if names::uid(known) == names::uid(&mirror));
                let revision = revision(&mirror);
                if another || revision > state.revision {
                    state.revision = revision;
                    state.base = mirror.status.clone();
                    state.shown_by = Shown::Mirror(mirror);
                }
            }
            None => state.shown_by = Shown::Nothing,
        }
        drop(state);
        self.shared.news.notify_one();
    }

    pub fn write(&self, pod: Arc<Pod>, status: PodStatus) {
        self.shared.state.lock().wanted = Some((pod, status));
        self.shared.news.notify_one();
    }

    pub fn delete_after_that(&self) {
        self.shared.state.lock().delete = true;
        self.shared.news.notify_one();
    }
}

fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl Shared {
    fn next(&self) -> Option<Work> {
        let state = self.state.lock();
        let (pod, wanted) = state.wanted.as_ref()?;
        let pod = match &state.shown_by {
            Shown::Itself => pod,
            Shown::Mirror(mirror) => mirror,
            Shown::Nothing => return None,
        };
        match status::patch(pod, state.base.as_ref(), wanted) {
            Some(patch) => Some(Work::Patch(pod.clone(), Box::new(wanted.clone()), patch)),
            None => state.delete.then(|| Work::Delete(pod.clone())),
        }
    }
}

async fn run(context: Arc<Context>, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let Some(work) = shared.next() else {
            shared.news.notified().await;
            continue;
        };
        let outcome = match work {
            Work::Patch(pod, status, patch) => {
                let target = Target { resource_version: None, ..Target::of(&*pod) };
                let answer: Result<Pod, _> =
                    context.api.patch(&target, Some("status"), PatchStyle::Strategic, &patch).await;
                answer.map(|answer| {
                    let mut state = shared.state.lock();
                    state.base = Some(*status);
                    state.revision = state.revision.max(revision(&answer));
                })
            }
            Work::Delete(pod) => {
                let target = Target { resource_version: None, ..Target::of(&*pod) };
                context.api.delete(&target, None, Some(0)).await.map(|_| shared.state.lock().shown_by = Shown::Nothing)
            }
        };
        match outcome {
            Ok(()) => backoff.reset(),
            // Another pod may have the name by now.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                shared.state.lock().shown_by = Shown::Nothing;
            }
            Err(error) => {
                tracing::warn!("cannot write a pod's status: {:#}", anyhow::Error::new(error));
                tokio::time::sleep(backoff.next(&context.jitter)).await;
            }
        }
    }
}
