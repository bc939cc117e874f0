//! What users see of the scheduler: Events, and the `PodScheduled` condition of pods that have to wait.
//!
//! Conditions are written beside the loop, one pod at a time and only the newest; one that says the same already is
//! not written again.

use std::{collections::HashMap, sync::Arc};

use api_types::{
    k8s_openapi::api::core::v1::ObjectReference,
    object::Watched,
    plan::{Note, PatchStyle, Target},
};
use client::{Api, Recorder, Store, WorkQueue};
use component::{Clock, Shutdown};
use parking_lot::Mutex;
use scheduling::{cluster::Resident, object::Pod, queue::Waiting};
use serde_json::{Value, json};

/// Conditions written at a time.
const WRITERS: usize = 8;

struct Condition {
    namespace: Arc<str>,
    name: Arc<str>,
    uid: Arc<str>,
    /// Why the pod waits: reason and message; nothing if that stays as it is.
    why: Option<(&'static str, String)>,
    /// The node that room is being made on, empty if on none any more; nothing if that stays as it is.
    meant_for: Option<Arc<str>>,
}

struct Shared {
    api: Api,
    pods: Store<Pod>,
    clock: Arc<dyn Clock>,
    /// By uid; the newest of each pod.
    pending: Mutex<HashMap<Arc<str>, Condition>>,
    queue: WorkQueue<Arc<str>>,
}

pub struct Reporter {
    recorder: Recorder,
    shared: Arc<Shared>,
}

impl Reporter {
    pub fn start(
        client: kube::Client,
        recorder: Recorder,
        pods: Store<Pod>,
        clock: Arc<dyn Clock>,
        shutdown: &Shutdown,
    ) -> Self {
        let shared = Arc::new(Shared {
            api: client.into(),
            pods,
            clock,
            pending: Mutex::default(),
            queue: WorkQueue::new("pod_conditions"),
        });
        for _ in 0..WRITERS {
            let (shared, shutdown) = (shared.clone(), shutdown.clone());
            tokio::spawn(async move { shutdown.or(shared.write_all()).await });
        }
        Self { recorder, shared }
    }

    pub fn scheduled(&self, scheduler_name: &str, pod: &Waiting, node: &str) {
        let text = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
        let note = Note::normal(reference(pod), "Scheduled", text);
        self.recorder.named(scheduler_name).note_action(&note, "Binding", None);
    }

    /// No node would do. `meant_for`: what becomes of `status.nominatedNodeName`, if anything.
    pub fn unschedulable(&self, scheduler_name: &str, pod: &Waiting, message: String, meant_for: Option<Arc<str>>) {
        self.failed(scheduler_name, pod, "Unschedulable", message, meant_for);
    }

    /// A more important pod has taken the room that was made for this one.
    pub fn not_meant(&self, pod: &Resident) {
        self.write_later(Condition {
            namespace: pod.held.peers.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            why: None,
            meant_for: Some("".into()),
        });
    }

    /// Something went wrong on the way.
    pub fn error(&self, scheduler_name: &str, pod: &Waiting, message: String) {
        self.failed(scheduler_name, pod, "SchedulerError", message, None);
    }

    fn failed(
        &self,
        scheduler_name: &str,
        pod: &Waiting,
        reason: &'static str,
        message: String,
        meant_for: Option<Arc<str>>,
    ) {
        let note = Note::warning(reference(pod), "FailedScheduling", message.clone());
        self.recorder.named(scheduler_name).note_action(&note, "Scheduling", None);
        self.write_later(Condition {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            why: Some((reason, message)),
            meant_for,
        });
    }

    fn write_later(&self, mut condition: Condition) {
        let uid = condition.uid.clone();
        let mut pending = self.shared.pending.lock();
        if let Some(older) = pending.remove(&uid) {
            // The newest word on each of the two counts.
            condition.why = condition.why.or(older.why);
            condition.meant_for = condition.meant_for.or(older.meant_for);
        }
        pending.insert(uid.clone(), condition);
        drop(pending);
        self.shared.queue.add(uid);
    }
}

fn reference(pod: &Waiting) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(pod.namespace.to_string()),
        name: Some(pod.name.to_string()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    }
}

impl Shared {
    async fn write_all(&self) {
        while let Some(uid) = self.queue.next().await {
            let condition = self.pending.lock().remove(&uid);
            if let Some(condition) = condition {
                self.write(condition).await;
            }
            self.queue.done(&uid);
        }
    }

    async fn write(&self, condition: Condition) {
        let Condition { namespace, name, uid, why, meant_for } = condition;
        let known = self.pods.get(&namespace, &name).filter(|known| *known.metadata.uid == *uid);
        // Gone, or bound by now.
        let Some(known) = known.filter(|known| !known.is_bound()) else { return };
        let mut status = json!({});
        if let Some((reason, message)) = why {
            let condition = self.condition(&known, reason, &message);
            if let Some(condition) = condition {
                status["conditions"] = json!([condition]);
            }
        }
        if let Some(node) = meant_for.filter(|node| known.nominated_node().unwrap_or_default() != &**node) {
            // Nothing is said of no node.
            status["nominatedNodeName"] = if node.is_empty() { Value::Null } else { json!(node) };
        }
        if status == json!({}) {
            return;
        }
        let body = json!({ "status": status });
        let target = Target {
            resource: Pod::RESOURCE,
            namespace: namespace.to_string(),
            name: name.to_string(),
            uid: Some(uid.to_string()),
            resource_version: None,
        };
        let written = self.api.patch::<Value>(&target, Some("status"), PatchStyle::Strategic, &body).await;
        match written {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                let error = anyhow::Error::new(error);
                tracing::warn!(pod = format!("{namespace}/{name}"), uid = %uid, "cannot update the pod's condition: {error:#}");
            }
        }
    }

    /// The pod's `PodScheduled` condition, unless it says so already.
    fn condition(&self, known: &Pod, reason: &str, message: &str) -> Option<Value> {
        let before = known.status.conditions.not_scheduled.as_ref();
        let generation = Some(known.metadata.generation).filter(|generation| *generation != 0);
        if before.is_some_and(|c| c.reason == reason && c.message == message && c.observed_generation == generation) {
            return None;
        }
        let since = before.and_then(|c| c.last_transition_time.clone());
        let since = since.unwrap_or_else(|| self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": since,
        });
        if let Some(generation) = generation {
            condition["observedGeneration"] = json!(generation);
        }
        Some(condition)
    }
}
