//! Jobs: every pod that ends counts once, whoever dies on the way; never more pods at a time than asked for.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{BATCH, Change, Seen, Workload, name, nodes, same};
use crate::chance::Chance;

const COMPLETIONS: u64 = 6;
/// Pods that a user deletes or breaks: each makes the next try wait longer.
const BROKEN: u64 = 2;

pub struct Jobs {
    name: &'static str,
    mode: &'static str,
    /// The largest number of pods at a time ever asked for.
    most: u64,
    broken: u64,
    /// The most successes ever seen.
    succeeded: u64,
}

impl Jobs {
    pub fn counting() -> Self {
        Self { name: "count", mode: "NonIndexed", most: 2, broken: 0, succeeded: 0 }
    }

    pub fn indexed() -> Self {
        Self { name: "index", mode: "Indexed", most: 2, broken: 0, succeeded: 0 }
    }

    fn path(&self) -> String {
        format!("{BATCH}/jobs/{}", self.name)
    }
}

/// What a Job makes of one of its pods.
pub fn template(app: &str) -> Value {
    let mut template = super::template(app);
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

/// The job's condition of this type, if it is true.
pub fn condition<'a>(job: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = job["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True")
}

impl Workload for Jobs {
    fn objects(&self) -> Vec<(String, Value)> {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": self.name},
            "spec": {
                "completions": COMPLETIONS,
                "parallelism": self.most,
                "completionMode": self.mode,
                "backoffLimit": 20,
                "template": template(self.name),
            },
        });
        vec![(format!("{BATCH}/jobs"), job)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        let active = seen.active(self.name);
        let pod = active.get(chance.below(active.len() as u64) as usize);
        let pod = pod.filter(|_| self.broken < BROKEN).map(|pod| format!("{}/pods/{}", super::NAMESPACE, name(pod)));
        match (chance.below(4), pod) {
            (0, _) => {
                let wanted = 1 + chance.below(4);
                self.most = self.most.max(wanted);
                Change::Patch(self.path(), json!({"spec": {"parallelism": wanted}}))
            }
            (1, _) => Change::Patch(self.path(), json!({"spec": {"suspend": chance.below(2) == 0}})),
            (2, Some(pod)) => {
                self.broken += 1;
                Change::Delete(pod)
            }
            (3, Some(pod)) => {
                self.broken += 1;
                Change::Patch(format!("{pod}/status"), nodes::failed())
            }
            _ => Change::Nothing,
        }
    }

    fn conclude(&self) -> Change {
        Change::Patch(self.path(), json!({"spec": {"suspend": false}}))
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let (active, most) = (seen.active(self.name).len() as u64, self.most * seen.leaders);
        ensure!(active <= most, "{}: {active} pods, {most} were the most ever wanted", self.name);
        let job = seen.set("Job", self.name)?;
        let succeeded = job["status"]["succeeded"].as_u64().unwrap_or_default();
        ensure!(succeeded >= self.succeeded, "{}: {} successes, and now {succeeded}", self.name, self.succeeded);
        self.succeeded = succeeded;
        ensure!(condition(job, "Failed").is_none(), "{} failed: {}", self.name, job["status"]);
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        let job = seen.set("Job", self.name)?;
        let status = &job["status"];
        ensure!(condition(job, "Complete").is_some(), "{} is not complete: {status}", self.name);
        let uncounted = &status["uncountedTerminatedPods"];
        ensure!(uncounted.as_object().is_none_or(serde_json::Map::is_empty), "{}: {uncounted} not counted", self.name);
        ensure!(seen.active(self.name).is_empty(), "{}: active pods of a complete job", self.name);
        let held = |pod: &&Value| pod["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        ensure!(!seen.pods(self.name).iter().any(held), "{}: pods that are still held", self.name);
        let ended = seen.ended.get(self.name);
        let ended = |success: bool| ended.into_iter().flatten().filter(|(_, succeeded)| *succeeded == success).count();
        let counted = |field: &str| status[field].as_u64().unwrap_or_default();
        let (succeeded, failed) = (ended(true) as u64, ended(false) as u64);
        if seen.leaders > 1 {
            // What another leader started in vain may succeed too.
            ensure!(counted("succeeded") >= COMPLETIONS, "{}: {status}", self.name);
            ensure!(succeeded >= counted("succeeded"), "{}: {succeeded} succeeded: {status}", self.name);
            return Ok(());
        }
        same(&format!("{} pods that succeeded", self.name), &json!(succeeded), COMPLETIONS)?;
        same(&format!("{} succeeded", self.name), &status["succeeded"], COMPLETIONS)?;
        // What is deleted before it ends counts as failed too.
        ensure!(counted("failed") >= failed, "{}: {failed} pods failed: {status}", self.name);
        ensure!(counted("failed") <= failed + self.broken, "{}: {failed} pods failed: {status}", self.name);
        ensure!(self.mode != "Indexed" || status["completedIndexes"] == "0-5", "{}: {status}", self.name);
        Ok(())
    }
}
