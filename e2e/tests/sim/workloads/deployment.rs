//! Deployments: from any template to any other, within their limits.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{APPS, Change, Seen, Workload, complete, same, template, update, wanted_image};
use crate::chance::Chance;

const SURGE: u64 = 1;

pub struct Deployments {
    name: &'static str,
    strategy: &'static str,
    /// The largest number ever asked for.
    most: u64,
}

impl Deployments {
    pub fn rolling() -> Self {
        Self { name: "web", strategy: "RollingUpdate", most: 3 }
    }

    pub fn recreating() -> Self {
        Self { name: "singleton", strategy: "Recreate", most: 3 }
    }

    fn path(&self) -> String {
        format!("{APPS}/deployments/{}", self.name)
    }
}

impl Workload for Deployments {
    fn objects(&self) -> Vec<(String, Value)> {
        let mut strategy = json!({"type": self.strategy});
        if self.strategy == "RollingUpdate" {
            strategy["rollingUpdate"] = json!({"maxSurge": SURGE, "maxUnavailable": 1});
        }
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
            "spec": {
                "replicas": self.most,
                "revisionHistoryLimit": 1,
                "strategy": strategy,
                "selector": {"matchLabels": {"app": self.name}},
                "template": template(self.name),
            },
        });
        vec![(format!("{APPS}/deployments"), deployment)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        match chance.below(5) {
            0 => {
                let wanted = chance.below(7);
                self.most = self.most.max(wanted);
                Change::Patch(self.path(), json!({"spec": {"replicas": wanted}}))
            }
            1 | 2 => Change::Patch(self.path(), update(chance.below(3))),
            3 => Change::Patch(self.path(), json!({"spec": {"paused": chance.below(3) == 0}})),
            _ => seen.any(self.name, chance).map_or(Change::Nothing, Change::Delete),
        }
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let (active, most) = (seen.active(self.name).len() as u64, (self.most + SURGE) * seen.leaders);
        ensure!(active <= most, "{}: {active} pods, {most} were the most ever wanted", self.name);
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        let deployment = seen.set("Deployment", self.name)?;
        let (wanted, status) = (deployment["spec"]["replicas"].as_u64().unwrap_or_default(), &deployment["status"]);
        ensure!(status["observedGeneration"] == deployment["metadata"]["generation"], "{}: not observed", self.name);
        if deployment["spec"]["paused"] == true {
            // Paused between two templates, it may keep the surge.
            let pods = seen.active(self.name).len() as u64;
            ensure!((wanted..=wanted + SURGE).contains(&pods), "{}: {pods} pods of {wanted}, paused", self.name);
            return same(&format!("{} replicas", self.name), &status["replicas"], pods);
        }
        for count in ["replicas", "readyReplicas", "availableReplicas"] {
            same(&format!("{} {count}", self.name), &status[count], wanted)?;
        }
        same(&format!("{} updatedReplicas", self.name), &status["updatedReplicas"], wanted)?;
        let owned = |set: &&Value| {
            set["kind"] == "ReplicaSet" && set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]
        };
        let sets = seen.sets.iter().filter(owned).count();
        ensure!(sets <= 2, "{}: {sets} ReplicaSets, and one old one is to be kept", self.name);
        complete(seen, self.name, wanted, wanted_image(deployment))
    }
}
