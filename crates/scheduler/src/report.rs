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
use scheduling::{object::Pod, queue::Waiting};
use serde_json::{Value, json};

/// Conditions written at a time.
const WRITERS: usize = 8;

struct Condition {
    pod: Waiting,
    reason: &'static str,
    message: String,
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

    /// No node would do.
    pub fn unschedulable(&self, scheduler_name: &str, pod: &Waiting, message: String) {
        self.failed(scheduler_name, pod, "Unschedulable", message);
    }

    /// Something went wrong on the way.
    pub fn error(&self, scheduler_name: &str, pod: &Waiting, message: String) {
        self.failed(scheduler_name, pod, "SchedulerError", message);
    }

    fn failed(&self, scheduler_name: &str, pod: &Waiting, reason: &'static str, message: String) {
        let note = Note::warning(reference(pod), "FailedScheduling", message.clone());
        self.recorder.named(scheduler_name).note_action(&note, "Scheduling", None);
        let condition = Condition { pod: pod.clone(), reason, message };
        self.shared.pending.lock().insert(pod.uid.clone(), condition);
        self.shared.queue.add(pod.uid.clone());
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
        let Condition { pod, reason, message } = condition;
        let known = self.pods.get(&pod.namespace, &pod.name).filter(|known| *known.metadata.uid == *pod.uid);
        // Gone, or bound by now.
        let Some(known) = known.filter(|known| !known.is_bound()) else { return };
        let before = known.status.not_scheduled.as_ref();
        let generation = Some(known.metadata.generation).filter(|generation| *generation != 0);
        if before.is_some_and(|c| c.reason == reason && c.message == message && c.observed_generation == generation) {
            return;
        }
        let since = before.and_then(|c| c.last_transition_time.clone());
        let since = since.unwrap_or_else(|| self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let mut body = json!({"status": {"conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": since,
        }]}});
        if let Some(generation) = generation {
            body["status"]["conditions"][0]["observedGeneration"] = json!(generation);
        }
        let target = Target {
            resource: Pod::RESOURCE,
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            uid: Some(pod.uid.to_string()),
            resource_version: None,
        };
        let written = self.api.patch::<Value>(&target, Some("status"), PatchStyle::Strategic, &body).await;
        match written {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                let error = anyhow::Error::new(error);
                tracing::warn!(pod = format!("{}/{}", pod.namespace, pod.name), uid = %pod.uid, "cannot update the pod's condition: {error:#}");
            }
        }
    }
}
