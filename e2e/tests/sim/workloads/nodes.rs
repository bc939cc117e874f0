//! The scheduler and the kubelets, as far as the controllers can tell: pods are bound, run, fail, stop.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{NAMESPACE, ended, name, ready};
use crate::{chance::Chance, cluster::Admin};

const NODES: [&str; 4] = ["node-a", "node-b", "node-c", "node-d"];
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub fn objects() -> Vec<(String, Value)> {
    let node = |name: &&str| {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        ("/api/v1/nodes".to_owned(), object)
    };
    NODES.iter().map(node).collect()
}

/// Any of the nodes.
pub fn any(chance: &mut Chance) -> String {
    format!("/api/v1/nodes/{}", NODES[chance.below(NODES.len() as u64) as usize])
}

pub struct Nodes {
    task: JoinHandle<()>,
    /// What was seen that may never be.
    wrong: Arc<Mutex<Option<String>>>,
}

impl Nodes {
    pub fn start(admin: Admin, seed: u64) -> Self {
        let wrong = Arc::default();
        let actor = Actor {
            admin,
            chance: Chance::new(seed.wrapping_mul(31)),
            running: BTreeMap::new(),
            wrong: Arc::clone(&wrong),
        };
        Self { task: tokio::spawn(actor.run()), wrong }
    }

    pub fn check(&self) -> anyhow::Result<()> {
        match self.wrong.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(wrong) => anyhow::bail!("{wrong}"),
            None => Ok(()),
        }
    }

    pub async fn stop(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

struct Actor {
    admin: Admin,
    chance: Chance,
    /// The uids of the pods whose containers run, by name.
    running: BTreeMap<String, String>,
    wrong: Arc<Mutex<Option<String>>>,
}

impl Actor {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Ok(list) = self.admin.get(&format!("{NAMESPACE}/pods")).await else { continue };
            let pods = list["items"].as_array().cloned().unwrap_or_default();
            for pod in &pods {
                // What fails is tried again with the next look.
                self.act(pod).await.ok();
            }
            self.running
                .retain(|name, uid| pods.iter().any(|pod| super::name(pod) == name && pod["metadata"]["uid"] == **uid));
        }
    }

    async fn act(&mut self, pod: &Value) -> anyhow::Result<()> {
        let path = format!("{NAMESPACE}/pods/{}", name(pod));
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if self.chance.below(3) == 0 {
                self.running.remove(name(pod));
                self.admin.delete(&path, Some(0)).await?;
            }
            return Ok(());
        }
        if ended(pod) {
            self.running.remove(name(pod));
            return Ok(());
        }
        if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
            return self.bind(pod, &path).await;
        }
        if !ready(pod) && self.chance.below(2) == 0 {
            return self.make_ready(pod, &path).await;
        }
        Ok(())
    }

    async fn bind(&mut self, pod: &Value, path: &str) -> anyhow::Result<()> {
        let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let named = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0].as_str().map(str::to_owned);
        let node = named.unwrap_or_else(|| NODES[self.chance.below(NODES.len() as u64) as usize].to_owned());
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
        let metadata = json!({"name": name(pod), "uid": pod["metadata"]["uid"]});
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target});
        self.admin.post(&format!("{path}/binding"), &binding).await.map(drop)
    }

    async fn make_ready(&mut self, pod: &Value, path: &str) -> anyhow::Result<()> {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if let Some(other) = self.running.insert(name(pod).to_owned(), uid.clone())
            && other != uid
        {
            let wrong = format!("two pods {} run at once", name(pod));
            *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
        }
        let condition =
            json!({"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]});
        let status = json!({"phase": "Running", "conditions": [condition]});
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        self.admin.patch(&format!("{path}/status"), &patch).await.map(drop)
    }
}

/// The patch by which a node says that a pod has failed.
pub fn failed() -> Value {
    json!({"status": {"phase": "Failed", "reason": "Evicted", "conditions": null}})
}
