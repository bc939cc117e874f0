//! A Deployment of 1,000 replicas: nothing on its way waits for anything but answers.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{APPS, NAMESPACE, SMALL, template};
use crate::{cluster::Cluster, for_one_seed};

const REPLICAS: u64 = 1000;
/// Simulated time: answers take none, so that what is left are pauses.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn a_thousand_replicas_wait_for_nothing() {
    for_one_seed(1, thousand);
}

async fn thousand(seed: u64) -> anyhow::Result<()> {
    let mut cluster = Cluster::start_part(seed, SMALL).await?;
    while cluster.admin.get(&format!("{NAMESPACE}/serviceaccounts/default")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "wide"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "wide"}}, "template": template("wide")},
    });
    cluster.admin.create(&format!("{APPS}/deployments"), &deployment).await?;
    let begun = Instant::now();
    let counted = async |cluster: &Cluster| -> anyhow::Result<Value> {
        Ok(cluster.admin.get(&format!("{APPS}/deployments/wide")).await?["status"]["replicas"].clone())
    };
    while counted(&cluster).await? != REPLICAS {
        ensure!(begun.elapsed() < LIMIT, "{} of {REPLICAS} after {LIMIT:?}", counted(&cluster).await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pods = cluster.admin.get(&format!("{NAMESPACE}/pods")).await?;
    ensure!(pods["items"].as_array().map(Vec::len) == Some(REPLICAS as usize), "not as many pods as reported");
    cluster.stop().await;
    Ok(())
}
