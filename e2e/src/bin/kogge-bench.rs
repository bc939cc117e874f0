//! `make bench`: brings up a cluster, measures it, takes it down, and measures the API server alone.
//!
//! Each result is one JSON line. `kogge-bench api`, `kogge-bench cluster` and `kogge-bench workloads` measure one part;
//! `kogge-bench api --pki DIR` needs no cluster, only its certificates. `kogge-bench sched` (`make bench-sched`) measures
//! the scheduler.

use std::path::Path;

use e2e::bench::{
    api,
    cluster::{self, Cluster},
    floor, sched, workloads,
};

/// Pods per pod-start measurement.
const PODS: usize = 30;
/// What the scheduler is measured with.
const NODES: usize = 1_000;
const SCHEDULED: usize = 5_000;
/// Objects in the measurement of the API server.
const OBJECTS: usize = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if let [only, flag, pki] = wanted.as_slice()
        && (only.as_str(), flag.as_str()) == ("api", "--pki")
    {
        return api::run(Path::new(pki), OBJECTS).await;
    }
    if wanted == ["sched"] {
        return sched::run(NODES, SCHEDULED).await;
    }
    let cluster = Cluster::up()?;
    let measured = async {
        if wants("cluster") {
            cluster.at_rest().await;
            floor::run(&cluster.runtime_socket()?, PODS).await?;
            cluster::pods(&cluster.target()?, PODS).await?;
        }
        if wants("workloads") {
            workloads::run(&cluster.target()?, &cluster.dir.display().to_string()).await?;
        }
        cluster.down()?;
        if wants("api") {
            api::run(&cluster.pki(), OBJECTS).await?;
        }
        anyhow::Ok(())
    };
    let outcome = measured.await;
    cluster.purge()?;
    outcome
}
