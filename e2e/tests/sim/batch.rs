//! Jobs, CronJobs and quotas through restarts of every body, and with two leaders at once in every third run: no pod is
//! counted twice or lost, no job runs more pods than it may, no quota is exceeded, no minute has two jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::ensure;
use cri::fake::Life;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    chance::Chance,
    cluster::{BODIES, Cluster, IMAGE, USURPERS},
};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const TIGHT: &str = "tight";
/// Pods that the quota of the tight namespace allows.
const ROOM: usize = 3;
/// Simulated time within which the jobs must be done.
const LIMIT: Duration = Duration::from_secs(420);
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[test]
fn jobs_count_every_pod_once_through_a_restart_of_every_body() {
    crate::for_each_seed(50, run);
}

async fn run(seed: u64) -> anyhow::Result<()> {
    let mut chance = Chance::new(seed);
    let mut cluster = Cluster::start(seed).await?;
    let failed_once: Mutex<BTreeSet<String>> = Mutex::default();
    cluster.containers(move |config| {
        let word = config.args.first().map(String::as_str).unwrap_or_default();
        let index = config.envs.iter().find(|env| env.key == "JOB_COMPLETION_INDEX").map(|env| env.value.clone());
        match (word, index) {
            // Two of the indexes fail at their first try.
            ("flaky", Some(index)) if matches!(&*index, "1" | "3") && failed_once.lock().insert(index.clone()) => {
                Life { ends: Some((Duration::from_secs(1), 1)), ..Life::default() }
            }
            ("flaky" | "short", _) => Life { ends: Some((Duration::from_secs(2), 0)), ..Life::default() },
            ("long", _) => Life { ends: Some((Duration::from_secs(20), 0)), ..Life::default() },
            _ => Life::default(),
        }
    });
    set_up(&cluster).await?;

    let mut bodies: Vec<&str> = BODIES.to_vec();
    chance.shuffle(&mut bodies);
    let leaders = if seed.is_multiple_of(3) { 2 } else { 1 };
    let mut watched = Watched { leaders, ..Watched::default() };
    for body in bodies {
        watched.watch(&cluster, Duration::from_millis(chance.below(6000))).await?;
        match chance.below(4) {
            0 => cluster.restart_amid_writes(body, chance.below(12), chance.below(2) == 0).await?,
            1 => {
                cluster.deafen(body, Duration::from_millis(chance.below(6000)));
                cluster.cut(BODIES[chance.below(BODIES.len() as u64) as usize]);
            }
            _ => cluster.restart(body, Duration::from_millis(chance.below(2000))).await?,
        }
        if leaders > 1 {
            let usurper = USURPERS[chance.below(2) as usize];
            if chance.below(3) == 0 { cluster.depose(usurper).await } else { cluster.usurp(usurper).await? }
        }
    }
    for usurper in USURPERS {
        cluster.depose(usurper).await;
    }
    let deadline = Instant::now() + LIMIT;
    while !watched.done() {
        ensure!(Instant::now() < deadline, "not done within {LIMIT:?}: {:#?}", watched.jobs);
        watched.watch(&cluster, Duration::from_secs(1)).await?;
    }
    watched.conclude()?;
    cluster.stop().await;
    Ok(())
}

fn job(name: &str, word: &str, spec: Value) -> Value {
    let container = json!({"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "args": [word]});
    let mut full = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        full[field] = value.clone();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": full})
}

async fn set_up(cluster: &Cluster) -> anyhow::Result<()> {
    let admin = &cluster.admin;
    let indexed = json!({"completions": 5, "parallelism": 2, "completionMode": "Indexed"});
    admin.create(JOBS, &job("indexed", "flaky", indexed)).await?;
    let each_minute = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "each-minute"},
        "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": job("", "long", json!({}))["spec"]},
        },
    });
    admin.create("/apis/batch/v1/namespaces/default/cronjobs", &each_minute).await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TIGHT}});
    admin.create("/api/v1/namespaces", &namespace).await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"},
        "spec": {"hard": {"pods": ROOM.to_string()}}});
    let quotas = format!("/api/v1/namespaces/{TIGHT}/resourcequotas");
    admin.create(&quotas, &quota).await?;
    // Quotas hold from their first count on.
    loop {
        let counted = admin.get(&format!("{quotas}/room")).await;
        if counted.is_ok_and(|quota| quota["status"]["used"]["pods"].is_string()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let wide = json!({"completions": 8, "parallelism": 8});
    admin.create(&format!("/apis/batch/v1/namespaces/{TIGHT}/jobs"), &job("wide", "short", wide)).await?;
    Ok(())
}

/// What was seen of the jobs, over all looks.
#[derive(Default)]
struct Watched {
    /// How many take themselves for the leader, at most.
    leaders: u64,
    jobs: BTreeMap<String, Value>,
    /// Phases of ended pods, by job and uid.
    ended: BTreeMap<(String, String), String>,
    /// Names of the CronJob's jobs.
    minutes: BTreeSet<String>,
}

impl Watched {
    /// Looks again and again, for `span`.
    async fn watch(&mut self, cluster: &Cluster, span: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + span;
        loop {
            for namespace in ["default", TIGHT] {
                // The server may be away.
                let Ok(pods) = cluster.admin.get(&format!("/api/v1/namespaces/{namespace}/pods")).await else {
                    continue;
                };
                let Ok(jobs) = cluster.admin.get(&format!("/apis/batch/v1/namespaces/{namespace}/jobs")).await else {
                    continue;
                };
                self.look(namespace, &pods, &jobs)?;
            }
            if Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn look(&mut self, namespace: &str, pods: &Value, jobs: &Value) -> anyhow::Result<()> {
        let mut active: BTreeMap<String, usize> = BTreeMap::new();
        let mut charged = 0;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let job = text(&pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]);
            let phase = text(&pod["status"]["phase"]);
            if matches!(&*phase, "Succeeded" | "Failed") {
                self.ended.insert((job, text(&pod["metadata"]["uid"])), phase);
                continue;
            }
            charged += 1;
            if pod["metadata"]["deletionTimestamp"].is_null() {
                *active.entry(job).or_default() += 1;
            }
        }
        ensure!(namespace != TIGHT || charged <= ROOM, "{charged} pods where the quota allows {ROOM}");
        let mut running = 0;
        for job in jobs["items"].as_array().into_iter().flatten() {
            let name = job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            // Two leaders may each make the pods that are missing.
            let most = job["spec"]["parallelism"].as_u64().unwrap_or(1) * self.leaders;
            let now = active.get(&name).copied().unwrap_or_default();
            ensure!(now as u64 <= most, "{now} pods of job {name}, which may have {most}");
            if name.starts_with("each-minute-") {
                self.minutes.insert(name);
                running += usize::from(!finished(job));
                continue;
            }
            let before = self.jobs.get(&name).map(succeeded).unwrap_or_default();
            ensure!(succeeded(job) >= before, "job {name} had {before} successes, and now {}", succeeded(job));
            self.jobs.insert(name, job.clone());
        }
        ensure!(running <= 1, "{running} jobs run of a CronJob that forbids it");
        Ok(())
    }

    fn done(&self) -> bool {
        self.jobs.len() == 2 && self.jobs.values().all(finished) && self.minutes.len() >= 2
    }

    fn conclude(&self) -> anyhow::Result<()> {
        for (name, completions) in [("indexed", 5), ("wide", 8)] {
            let status = &self.jobs[name]["status"];
            let ended = |phase: &str| {
                self.ended.iter().filter(|((job, _), ended)| job == name && *ended == phase).count() as u64
            };
            if self.leaders > 1 {
                // What another leader started in vain may succeed too.
                ensure!(succeeded(&self.jobs[name]) >= completions, "{name}: {status:#}");
                ensure!(ended("Succeeded") >= succeeded(&self.jobs[name]), "{name}: {status:#}");
                continue;
            }
            ensure!(succeeded(&self.jobs[name]) == completions, "{name}: {status:#}");
            ensure!(ended("Succeeded") == completions, "{name}: {} pods succeeded", ended("Succeeded"));
            let failed = status["failed"].as_u64().unwrap_or_default();
            ensure!(ended("Failed") == failed, "{name}: {} pods failed, {failed} counted", ended("Failed"));
        }
        let indexes = &self.jobs["indexed"]["status"]["completedIndexes"];
        ensure!(*indexes == "0-4", "completed {indexes}");
        Ok(())
    }
}

fn succeeded(job: &Value) -> u64 {
    job["status"]["succeeded"].as_u64().unwrap_or_default()
}

fn finished(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|c| matches!(c["type"].as_str(), Some("Complete" | "Failed")) && c["status"] == "True")
}
