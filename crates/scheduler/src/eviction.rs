//! Evicting the victims of a preemption, beside the loop that decides: each gets the condition that says why, is
//! deleted with its own grace period, and an event tells for whom.

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::core::v1::ObjectReference,
    object::Watched,
    plan::{Note, PatchStyle, Target, reference},
};
use client::{Api, Error, Recorder, Store};
use component::Clock;
use scheduling::{
    Preemption,
    cluster::Resident,
    object::{PREEMPTION_BY_SCHEDULER, Pod},
    queue::Waiting,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

/// Preemptions carried out at a time; the others wait for their turn.
const LIMIT: usize = 64;

pub struct Evictor {
    work: Arc<Work>,
    sender: mpsc::UnboundedSender<Arc<str>>,
    failures: mpsc::UnboundedReceiver<Arc<str>>,
}

struct Work {
    api: Api,
    recorder: Recorder,
    pods: Store<Pod>,
    clock: Arc<dyn Clock>,
    turns: Semaphore,
}

impl Evictor {
    pub fn new(client: kube::Client, recorder: Recorder, pods: Store<Pod>, clock: Arc<dyn Clock>) -> Self {
        // At most one message for each waiting pod: it is not tried again before its preemption has ended.
        let (sender, failures) = mpsc::unbounded_channel();
        let work = Work { api: client.into(), recorder, pods, clock, turns: Semaphore::new(LIMIT) };
        Self { work: Arc::new(work), sender, failures }
    }

    pub fn start(&self, scheduler_name: &str, preemptor: &Waiting, preemption: Preemption) {
        let (work, sender) = (self.work.clone(), self.sender.clone());
        let (scheduler_name, preemptor) = (scheduler_name.to_owned(), preemptor.uid.clone());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let Ok(_turn) = work.turns.acquire().await else { return };
            for victim in &preemption.victims {
                if let Err(error) = work.evict(&scheduler_name, &preemptor, victim, &preemption.node).await {
                    let pod = format!("{}/{}", victim.held.peers.namespace, victim.name);
                    let error = anyhow::Error::new(error);
                    tracing::warn!(pod, uid = %victim.uid, "cannot evict: {error:#}");
                    // Without a receiver the scheduler has ended, and nobody needs to know.
                    let _ = sender.send(preemptor);
                    return;
                }
            }
        });
    }

    /// The uid of a pod whose preemption could not be carried out; waits for it. Cancel safe.
    pub async fn failed(&mut self) -> Arc<str> {
        match self.failures.recv().await {
            Some(preemptor) => preemptor,
            // Cannot be while `self.sender` lives.
            None => std::future::pending().await,
        }
    }
}

impl Work {
    async fn evict(&self, scheduler_name: &str, preemptor: &str, victim: &Resident, node: &str) -> Result<(), Error> {
        let namespace = &victim.held.peers.namespace;
        let target = Target {
            resource: Pod::RESOURCE,
            namespace: namespace.to_string(),
            name: victim.name.to_string(),
            uid: Some(victim.uid.to_string()),
            resource_version: None,
        };
        let known = self.pods.get(namespace, &victim.name).filter(|known| *known.metadata.uid == *victim.uid);
        if known.as_ref().is_some_and(|known| known.is_deleting()) {
            return Ok(());
        }
        let generation = known.as_ref().map(|known| known.metadata.generation).filter(|generation| *generation != 0);
        let condition = self.disruption_target(scheduler_name, generation);
        match self.api.patch::<Value>(&target, Some("status"), PatchStyle::Strategic, &condition).await {
            Ok(_) => {}
            // Gone, or another pod of this name by now: so much the better.
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.api.delete(&target, None, None).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            Err(error) => return Err(error),
        }
        let regarding = known.map_or_else(|| reference_of(victim), |known| reference(&*known));
        let note = Note::normal(regarding, "Preempted", format!("Preempted by pod {preemptor} on node {node}"));
        self.recorder.named(scheduler_name).note_action(&note, "Preempting", None);
        Ok(())
    }

    fn disruption_target(&self, scheduler_name: &str, generation: Option<i64>) -> Value {
        let mut condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": PREEMPTION_BY_SCHEDULER,
            "message": format!("{scheduler_name}: preempting to accommodate a higher priority pod"),
            "lastProbeTime": null,
            "lastTransitionTime": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        if let Some(generation) = generation {
            condition["observedGeneration"] = json!(generation);
        }
        json!({"status": {"conditions": [condition]}})
    }
}

fn reference_of(victim: &Resident) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(victim.held.peers.namespace.to_string()),
        name: Some(victim.name.to_string()),
        uid: Some(victim.uid.to_string()),
        ..ObjectReference::default()
    }
}
