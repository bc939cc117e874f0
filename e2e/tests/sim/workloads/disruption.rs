//! PodDisruptionBudgets: however many ask for evictions, as many pods stay ready as the budget says.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{APPS, Change, POLICY, Seen, Workload, ready, same, template};
use crate::chance::Chance;

const NAME: &str = "guarded";
const REPLICAS: u64 = 5;
const LEAST: u64 = 3;

/// A ReplicaSet whose pods nobody deletes but evictions.
#[derive(Default)]
pub struct Guarded {
    /// There have been enough pods, and from then on must be.
    up: bool,
}

fn healthy(seen: &Seen) -> u64 {
    seen.active(NAME).into_iter().filter(|pod| ready(pod)).count() as u64
}

impl Workload for Guarded {
    fn objects(&self) -> Vec<(String, Value)> {
        let selector = json!({"matchLabels": {"app": NAME}});
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": NAME},
            "spec": {"replicas": REPLICAS, "selector": selector, "template": template(NAME)},
        });
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": NAME},
            "spec": {"minAvailable": LEAST, "selector": selector},
        });
        vec![(format!("{APPS}/replicasets"), set), (format!("{POLICY}/poddisruptionbudgets"), budget)]
    }

    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change {
        let number = 1 + chance.below(4);
        Change::Evict((0..number).filter_map(|_| seen.any(NAME, chance)).collect())
    }

    fn always(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let healthy = healthy(seen);
        ensure!(!self.up || healthy >= LEAST, "{NAME}: {healthy} healthy pods, and {LEAST} must stay");
        self.up |= healthy >= LEAST;
        Ok(())
    }

    fn finally(&self, seen: &Seen) -> anyhow::Result<()> {
        same("healthy pods", &json!(healthy(seen)), REPLICAS)?;
        let status = &seen.set("PodDisruptionBudget", NAME)?["status"];
        same("currentHealthy", &status["currentHealthy"], REPLICAS)?;
        same("expectedPods", &status["expectedPods"], REPLICAS)?;
        same("desiredHealthy", &status["desiredHealthy"], LEAST)?;
        same("disruptionsAllowed", &status["disruptionsAllowed"], REPLICAS - LEAST)?;
        let disrupted = status["disruptedPods"].as_object().map_or(0, serde_json::Map::len);
        ensure!(disrupted == 0, "{NAME}: evictions under way though all have ended: {status}");
        Ok(())
    }
}
