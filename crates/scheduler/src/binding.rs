//! Binding pods to nodes, many at a time, beside the loop that decides; the volumes of their claims first.

mod volumes;

use api_types::object::Watched;
use client::Api;
use scheduling::{Placement, object::Pod};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use crate::extenders::Extenders;

/// Bindings on their way at a time. Beyond, the loop waits: what it decides would only queue up at the server.
const LIMIT: usize = 256;
/// And those that wait for volumes first.
const PREPARING_LIMIT: usize = 4096;

/// How a binding ended.
pub struct Outcome {
    pub placement: Placement,
    /// When the attempt that led to it began.
    pub began: Instant,
    pub result: anyhow::Result<()>,
}

pub struct Binder {
    api: Api,
    extenders: Extenders,
    sender: mpsc::Sender<Outcome>,
    outcomes: mpsc::Receiver<Outcome>,
    under_way: usize,
    preparing: usize,
}

impl Binder {
    pub fn new(client: kube::Client, extenders: Extenders) -> Self {
        let (sender, outcomes) = mpsc::channel(LIMIT);
        Self { api: client.into(), extenders, sender, outcomes, under_way: 0, preparing: 0 }
    }

    pub fn is_full(&self) -> bool {
        self.under_way >= LIMIT || self.preparing >= PREPARING_LIMIT
    }

    pub fn start(&mut self, placement: Placement, began: Instant) {
        *self.kind(&placement) += 1;
        let (api, extenders, sender) = (self.api.clone(), self.extenders.clone(), self.sender.clone());
        tokio::spawn(async move {
            let result = match volumes::prepare(&api, &placement).await {
                Ok(()) => bind(&api, &extenders, &placement).await,
                Err(error) => Err(error),
            };
            // Without a receiver the scheduler has ended, and nobody needs to know.
            let _ = sender.send(Outcome { placement, began, result }).await;
        });
    }

    /// Pods that wait for volumes may do so for minutes: they do not keep others from being bound.
    fn kind(&mut self, placement: &Placement) -> &mut usize {
        if placement.volumes.is_empty() { &mut self.under_way } else { &mut self.preparing }
    }

    pub fn finished(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        *self.kind(&outcome.placement) -= 1;
        Some(outcome)
    }

    /// The next outcome; waits for it. Cancel safe.
    pub async fn next(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => {
                *self.kind(&outcome.placement) -= 1;
                outcome
            }
            // Cannot be while `self.sender` lives.
            None => std::future::pending().await,
        }
    }
}

async fn bind(api: &Api, extenders: &Extenders, placement: &Placement) -> anyhow::Result<()> {
    if extenders.bind(placement).await? {
        return Ok(());
    }
    let pod = &placement.pod.pod;
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"kind": "Node", "name": placement.node},
    });
    let path = format!("{}/binding", Pod::RESOURCE.object_path(&pod.namespace, &pod.name));
    match api.post::<Value>(&path, &binding).await {
        Ok(_) => Ok(()),
        // Refused, or not known: what the server says now decides.
        Err(error) => match api.get::<Pod>(&pod.namespace, &pod.name).await {
            Ok(Some(now)) if *now.metadata.uid == *pod.uid && now.node() == Some(&placement.node) => Ok(()),
            _ => Err(error.into()),
        },
    }
}
