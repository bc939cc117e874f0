//! ReplicaSets and ReplicationControllers: as many pods as wanted, never more, though answers are lost.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{APPS, Change, NAMESPACE, Seen, Workload, nodes, ready, same, template};
use crate::chance::Chance;

pub struct Replicas {
    name: &'static str,
    kind: &'static str,
    collection: String,
    /// The largest number ever asked for.
    most: u64,
}

impl Replicas {
    pub fn set() -> Self {
        Self { name: "rs", kind: "ReplicaSet", collection: format!("{APPS}/replicasets"), most: 3 }
    }

    pub fn controller() -> Self {
        let collection = format!("{NAMESPACE}/replicationcontrollers");
        Self { name: "rc", kind: "ReplicationController", collection, most: 3 }
    }
}

impl Workload for Replicas {
    fn objects(&self) -> Vec<(String, Value)> {
        let (version, selector) = match self.kind {
            "ReplicaSet" => ("apps/v1", json!({"matchLabels": {"app": self.name}})),
            _ => ("v1", json!({"app": self.name})),
        };
        let set = json!({
            "apiVersion": version, "kind": self.kind, "metadata": {"name": self.name},
            "spec": {"replicas": self.most, "selector": selector, "template": template(self.name)},
        });
        vec![(self.collection.clone(), set)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        match chance.below(5) {
            0 | 1 => {
                let wanted = chance.below(8);
                self.most = self.most.max(wanted);
                Change::Patch(format!("{}/{}", self.collection, self.name), json!({"spec": {"replicas": wanted}}))
            }
            2 => seen.any(self.name, chance).map_or(Change::Nothing, Change::Delete),
            // Away from its owner: a free pod that nobody takes back.
            3 => seen
                .any(self.name, chance)
                .map_or(Change::Nothing, |pod| Change::Patch(pod, json!({"metadata": {"labels": {"app": "free"}}}))),
            _ => seen
                .any(self.name, chance)
                .map_or(Change::Nothing, |pod| Change::Patch(format!("{pod}/status"), nodes::failed())),
        }
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        // Two leaders may each make the pods that are missing.
        let (active, most) = (seen.active(self.name).len() as u64, self.most * seen.leaders);
        ensure!(active <= most, "{}: {active} pods, {most} were the most ever wanted", self.name);
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        let set = seen.set(self.kind, self.name)?;
        let (wanted, status) = (set["spec"]["replicas"].as_u64().unwrap_or_default(), &set["status"]);
        for count in ["replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas"] {
            same(&format!("{} {count}", self.name), &status[count], wanted)?;
        }
        ensure!(status["observedGeneration"] == set["metadata"]["generation"], "{}: not observed", self.name);
        let active = seen.active(self.name);
        ensure!(active.iter().all(|pod| ready(pod)), "{}: pods that are not ready", self.name);
        same(&format!("{} pods", self.name), &json!(active.len()), wanted)?;
        let owners = |pod: &&Value| pod["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
        // Pods that have ended are nobody's business but the pod collector's.
        ensure!(seen.active("free").iter().all(|pod| owners(pod) == 0), "a free pod has an owner");
        Ok(())
    }
}
