//! StatefulSets: a pod per ordinal and no other, each with its claim.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{APPS, Change, Seen, Workload, complete, name, nodes, same, template, update, wanted_image};
use crate::chance::Chance;

pub struct Sets {
    name: &'static str,
    policy: &'static str,
    /// What becomes of the claims of pods that are scaled away.
    when_scaled: &'static str,
    /// The largest number ever asked for.
    most: u64,
}

impl Sets {
    pub fn ordered(when_scaled: &'static str) -> Self {
        Self { name: "db", policy: "OrderedReady", when_scaled, most: 3 }
    }

    pub fn parallel(when_scaled: &'static str) -> Self {
        Self { name: "cache", policy: "Parallel", when_scaled, most: 3 }
    }

    fn path(&self) -> String {
        format!("{APPS}/statefulsets/{}", self.name)
    }

    fn ordinal(&self, pod: &Value) -> Option<u64> {
        name(pod).strip_prefix(self.name)?.strip_prefix('-')?.parse().ok()
    }
}

impl Workload for Sets {
    fn objects(&self) -> Vec<(String, Value)> {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": self.name},
            "spec": {
                "replicas": self.most,
                "serviceName": self.name,
                "podManagementPolicy": self.policy,
                "selector": {"matchLabels": {"app": self.name}},
                "template": template(self.name),
                "persistentVolumeClaimRetentionPolicy": {"whenScaled": self.when_scaled, "whenDeleted": "Retain"},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
            },
        });
        vec![(format!("{APPS}/statefulsets"), set)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        match chance.below(5) {
            0 => {
                let wanted = chance.below(6);
                self.most = self.most.max(wanted);
                Change::Patch(self.path(), json!({"spec": {"replicas": wanted}}))
            }
            1 => Change::Patch(self.path(), update(chance.below(3))),
            2 => {
                let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": chance.below(3)}});
                Change::Patch(self.path(), json!({"spec": {"updateStrategy": strategy}}))
            }
            3 => seen.any(self.name, chance).map_or(Change::Nothing, Change::Delete),
            _ => seen
                .any(self.name, chance)
                .map_or(Change::Nothing, |pod| Change::Patch(format!("{pod}/status"), nodes::failed())),
        }
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        for pod in seen.pods(self.name) {
            let ordinal = self.ordinal(pod);
            ensure!(ordinal.is_some_and(|ordinal| ordinal < self.most), "{} is none of {}", name(pod), self.most);
            ensure!(pod["spec"]["hostname"] == name(pod), "{} is called {}", name(pod), pod["spec"]["hostname"]);
            let revision = pod["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap_or_default();
            seen.set("ControllerRevision", revision)?;
        }
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        // The user's last word may have been lost: what the server has counts.
        let set = seen.set("StatefulSet", self.name)?;
        let (wanted, status) = (set["spec"]["replicas"].as_u64().unwrap_or_default(), &set["status"]);
        let partition = set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_u64().unwrap_or_default();
        for count in ["replicas", "readyReplicas", "availableReplicas"] {
            same(&format!("{} {count}", self.name), &status[count], wanted)?;
        }
        ensure!(status["observedGeneration"] == set["metadata"]["generation"], "{}: not observed", self.name);
        for ordinal in 0..wanted {
            let claim = format!("data-{}-{ordinal}", self.name);
            ensure!(seen.claims.iter().any(|known| name(known) == claim), "no claim {claim}");
        }
        let updated = seen.pods(self.name).into_iter().filter(|pod| self.ordinal(pod).is_some_and(|o| o >= partition));
        ensure!(
            updated
                .into_iter()
                .all(|pod| pod["metadata"]["labels"]["controller-revision-hash"] == status["updateRevision"]),
            "{}: not updated",
            self.name
        );
        if partition > 0 {
            return same(&format!("{} pods", self.name), &json!(seen.active(self.name).len()), wanted);
        }
        ensure!(status["currentRevision"] == status["updateRevision"], "{}: not complete", self.name);
        complete(seen, self.name, wanted, wanted_image(set))
    }
}
