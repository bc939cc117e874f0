//! DaemonSets: one pod on every node that takes it, and never two unless the set may surge.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::{Value, json};

use super::{APPS, Change, Seen, Workload, complete, ended, nodes, same, template, update, wanted_image};
use crate::chance::Chance;

pub struct Daemons {
    name: &'static str,
    surge: u64,
}

impl Daemons {
    pub fn replacing() -> Self {
        Self { name: "log", surge: 0 }
    }

    pub fn surging() -> Self {
        Self { name: "mesh", surge: 1 }
    }

    fn path(&self) -> String {
        format!("{APPS}/daemonsets/{}", self.name)
    }
}

/// The nodes without a taint that keeps the daemons away.
fn eligible(seen: &Seen) -> u64 {
    let tainted = |node: &&Value| node["spec"]["taints"].as_array().is_some_and(|taints| !taints.is_empty());
    seen.nodes.iter().filter(|node| !tainted(node)).count() as u64
}

impl Workload for Daemons {
    fn objects(&self) -> Vec<(String, Value)> {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": self.name},
            "spec": {
                "selector": {"matchLabels": {"app": self.name}},
                "template": template(self.name),
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {
                    "maxSurge": self.surge, "maxUnavailable": 1 - self.surge}},
            },
        });
        vec![(format!("{APPS}/daemonsets"), set)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        match chance.below(5) {
            0 => Change::Patch(self.path(), update(chance.below(3))),
            1 => {
                let taint = json!([{"key": "test", "effect": "NoExecute"}]);
                Change::Patch(nodes::any(chance), json!({"spec": {"taints": taint}}))
            }
            2 => Change::Patch(nodes::any(chance), json!({"spec": {"taints": null}})),
            3 => seen.any(self.name, chance).map_or(Change::Nothing, Change::Delete),
            _ => seen
                .any(self.name, chance)
                .map_or(Change::Nothing, |pod| Change::Patch(format!("{pod}/status"), nodes::failed())),
        }
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in seen.pods(self.name).into_iter().filter(|pod| !ended(pod)) {
            if self.surge == 0 || pod["metadata"]["deletionTimestamp"].is_null() {
                let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
                let node = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0].as_str();
                *by_node.entry(node.unwrap_or_default()).or_default() += 1;
            }
        }
        let most = (1 + self.surge as usize) * seen.leaders as usize;
        ensure!(by_node.values().all(|pods| *pods <= most), "{}: {by_node:?}", self.name);
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        let set = seen.set("DaemonSet", self.name)?;
        let (wanted, status) = (eligible(seen), &set["status"]);
        for count in [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "numberAvailable",
            "updatedNumberScheduled",
        ] {
            same(&format!("{} {count}", self.name), &status[count], wanted)?;
        }
        same("numberMisscheduled", &status["numberMisscheduled"], 0)?;
        ensure!(status["observedGeneration"] == set["metadata"]["generation"], "{}: not observed", self.name);
        complete(seen, self.name, wanted, wanted_image(set))
    }
}
