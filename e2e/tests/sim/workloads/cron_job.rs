//! CronJobs: one job a moment, never twice, and as many at a time as the policy allows.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::{Value, json};

use super::{BATCH, Change, Seen, Workload, job, name};
use crate::chance::Chance;

/// Jobs of this name are slow: they are still there when the next one is due.
pub const NAME: &str = "tick";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub struct Schedule {
    policy: &'static str,
    /// All jobs ever seen: their uids, by the moment they were due.
    moments: BTreeMap<String, String>,
}

impl Schedule {
    pub fn new(policy: &'static str) -> Self {
        Self { policy, moments: BTreeMap::new() }
    }
}

fn path() -> String {
    format!("{BATCH}/cronjobs/{NAME}")
}

fn jobs(seen: &Seen) -> Vec<&Value> {
    let mut jobs: Vec<_> = seen.sets.iter().filter(|set| set["kind"] == "Job").collect();
    jobs.retain(|job| job["metadata"]["ownerReferences"][0]["name"] == NAME);
    jobs
}

fn finished(job: &Value) -> bool {
    job::condition(job, "Complete").is_some() || job::condition(job, "Failed").is_some()
}

impl Workload for Schedule {
    fn objects(&self) -> Vec<(String, Value)> {
        let cron_job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": NAME},
            "spec": {
                "schedule": "* * * * *",
                "concurrencyPolicy": self.policy,
                "jobTemplate": {"spec": {"template": job::template(NAME)}},
            },
        });
        vec![(format!("{BATCH}/cronjobs"), cron_job)]
    }

    fn disturb(&mut self, chance: &mut Chance, _seen: &Seen) -> Change {
        match chance.below(3) {
            0 => Change::Patch(path(), json!({"spec": {"suspend": chance.below(4) == 0}})),
            1 => {
                let schedule = ["* * * * *", "*/2 * * * *", "*/3 * * * *"][chance.below(3) as usize];
                Change::Patch(path(), json!({"spec": {"schedule": schedule}}))
            }
            _ => Change::Nothing,
        }
    }

    fn conclude(&self) -> Change {
        Change::Patch(path(), json!({"spec": {"suspend": true}}))
    }

    /// Some minutes in all.
    fn pace(&self) -> u64 {
        20_000
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let jobs = jobs(seen);
        for job in &jobs {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let moment = text(&job["metadata"]["annotations"][SCHEDULED]);
            let uid = text(&job["metadata"]["uid"]);
            let first = self.moments.entry(moment.clone()).or_insert_with(|| uid.clone());
            ensure!(*first == uid, "{} is the second job of {moment}", name(job));
        }
        let runs = |job: &&&Value| !finished(job) && job["metadata"]["deletionTimestamp"].is_null();
        let running = jobs.iter().filter(runs).count();
        ensure!(self.policy == "Allow" || running <= 1, "{running} jobs run at once: {}", self.policy);
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        let status = &seen.set("CronJob", NAME)?["status"];
        let jobs = jobs(seen);
        ensure!(jobs.iter().all(|job| finished(job)), "{NAME}: jobs that are not finished");
        let active = status["active"].as_array().map_or(0, Vec::len);
        ensure!(active == 0, "{NAME}: {active} active jobs, and all are finished");
        let complete = jobs.iter().filter(|found| job::condition(found, "Complete").is_some()).count();
        ensure!(complete <= 3 && jobs.len() - complete <= 1, "{NAME}: {} jobs are kept", jobs.len());
        ensure!(self.moments.is_empty() || status["lastScheduleTime"].is_string(), "{NAME}: {status}");
        Ok(())
    }
}
