//! The ServiceCIDR `kubernetes`: the range of the configuration, as an object that clients can read.

use serde_json::{Value, json};

use super::write;
use crate::core::Core;

const NAME: &str = "kubernetes";

pub async fn reconcile(core: &Core) -> anyhow::Result<()> {
    let range = core.config.service_cluster_ip_range.clone();
    let object = json!({"metadata": {"name": NAME}, "spec": {"cidrs": [range]}});
    let since = core.timestamp();
    // The first write has no status, the second adds it: a create starts without one.
    for _ in 0..2 {
        let merge = |old: &Value| {
            if old["spec"]["cidrs"][0] != range.as_str() {
                tracing::error!(stored = %old["spec"]["cidrs"], configured = range, "the ServiceCIDR kubernetes is not the configured range");
                return None;
            }
            with_ready(old, &since)
        };
        write::ensure(core, "servicecidrs", "networking.k8s.io/v1", object.clone(), merge).await?;
    }
    Ok(())
}

fn with_ready(old: &Value, since: &str) -> Option<Value> {
    let conditions = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if conditions.iter().any(|condition| condition["type"] == "Ready") {
        return None;
    }
    let mut new = old.clone();
    let ready = json!({
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": since,
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    });
    new["status"]["conditions"] = conditions.into_iter().chain([ready]).collect();
    Some(new)
}
