//! The scheduler and the kubelets, as far as the controllers can tell: pods are bound, run, fail, stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use component::{Clock, TokioClock};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{NAMESPACE, cron_job, ended, name, ready};
use crate::{
    chance::Chance,
    cluster::{Admin, Cluster},
};

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

/// The pods of jobs that have ended on their nodes: by job, their uids and whether they succeeded.
pub type Ended = BTreeMap<String, BTreeSet<(String, bool)>>;

pub struct Nodes {
    task: JoinHandle<()>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    /// What was seen that may never be.
    wrong: Option<String>,
    ended: Ended,
    hurry: bool,
}

impl Nodes {
    pub fn start(cluster: &Cluster, seed: u64) -> Self {
        let record = Arc::default();
        let actor = Actor {
            admin: cluster.admin.clone(),
            clock: cluster.clock(),
            chance: Chance::new(seed.wrapping_mul(31)),
            running: BTreeMap::new(),
            record: Arc::clone(&record),
        };
        Self { task: tokio::spawn(actor.run()), record }
    }

    pub fn ended(&self) -> Ended {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).ended.clone()
    }

    /// From now on everything ends soon.
    pub fn hurry(&self) {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).hurry = true;
    }

    pub fn check(&self) -> anyhow::Result<()> {
        match self.record.lock().unwrap_or_else(PoisonError::into_inner).wrong.as_ref() {
            Some(wrong) => anyhow::bail!("{wrong}"),
            None => Ok(()),
        }
    }

    pub async fn stop(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

struct Actor {
    admin: Admin,
    clock: TokioClock,
    chance: Chance,
    /// The uids of the pods whose containers run, by name.
    running: BTreeMap<String, String>,
    record: Arc<Mutex<Record>>,
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
        let job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"].as_str();
        if let Some(job) = job.filter(|_| ended(pod)) {
            self.note_end(
                job,
                pod["metadata"]["uid"].as_str().unwrap_or_default(),
                pod["status"]["phase"] == "Succeeded",
            );
        }
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
        let job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"].as_str();
        if let Some(job) = job.filter(|_| ready(pod))
            && self.ends(job)
        {
            return self.end(pod, &path, job).await;
        }
        Ok(())
    }

    /// Pods of a CronJob take about a minute while it goes on.
    fn ends(&mut self, job: &str) -> bool {
        let hurry = self.record.lock().unwrap_or_else(PoisonError::into_inner).hurry;
        self.chance.below(if job.starts_with(cron_job::NAME) && !hurry { 120 } else { 4 }) == 0
    }

    /// The containers of a job's pod have done their work, or have failed for the first two times.
    async fn end(&mut self, pod: &Value, path: &str, job: &str) -> anyhow::Result<()> {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let fails = self.chance.below(3) == 0 && {
            let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.ended.get(job).is_none_or(|ended| ended.iter().filter(|(_, succeeded)| !succeeded).count() < 2)
        };
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let state = json!({"terminated": {"exitCode": u8::from(fails), "finishedAt": now, "startedAt": now}});
        let container =
            json!({"name": "main", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""});
        let status = json!({"phase": if fails { "Failed" } else { "Succeeded" }, "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}]});
        // Not if it has been deleted meanwhile.
        let metadata = json!({"uid": uid, "resourceVersion": pod["metadata"]["resourceVersion"]});
        let patch = json!({"metadata": metadata, "status": status});
        let told = self.admin.patch(&format!("{path}/status"), &patch).await;
        // An answer that was lost is looked for with the next look.
        if told.is_ok() {
            self.note_end(job, uid, !fails);
        }
        told.map(drop)
    }

    fn note_end(&self, job: &str, uid: &str, succeeded: bool) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.ended.entry(job.to_owned()).or_default().insert((uid.to_owned(), succeeded));
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
            self.record.lock().unwrap_or_else(PoisonError::into_inner).wrong = Some(wrong);
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
