//! The whole system in one process: the very bodies that the binaries run, over in-memory streams, on a memory store and
//! fake container runtimes, under a clock that stands still until everyone waits.
//!
//! A run is a seed. Each seed restarts every body once, at moments it chooses, while a Deployment comes up; in every third
//! run there are two controller managers and two schedulers meanwhile that each take themselves for the leader. Then the
//! invariants must hold. The controllers of workloads are put to the test on their own ([`workloads`]). `KOGGE_SEEDS=1000` runs more seeds, `KOGGE_SEED=17` one.

mod batch;
mod chance;
mod cluster;
mod custom;
mod rules;
mod tokens;
mod wire;
mod workloads;

use std::{
    collections::BTreeSet,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use chance::Chance;
use cluster::{BODIES, Cluster, USURPERS};
use serde_json::{Value, json};

const REPLICAS: usize = 3;
/// Simulated time within which the Deployment must be up, restarts included.
const LIMIT: Duration = Duration::from_secs(180);
/// Simulated time of quiet after which nothing may have changed.
const QUIET: Duration = Duration::from_secs(300);

#[test]
fn a_deployment_comes_up_through_a_restart_of_every_body() {
    for_each_seed(20, deployment_through_restarts);
}

/// Runs `scenario` for every seed, each in a runtime of its own whose clock stands still until everyone waits; as many at
/// once as there are processors.
fn for_each_seed<Fut: Future<Output = anyhow::Result<()>>>(default: u64, scenario: impl Fn(u64) -> Fut + Sync) {
    let (seeds, next) = (seeds(default), AtomicUsize::new(0));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            for_one_seed(*seed, &scenario);
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(work);
        }
    });
}

fn for_one_seed<Fut: Future<Output = anyhow::Result<()>>>(seed: u64, scenario: impl Fn(u64) -> Fut) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap_or_else(|e| panic!("a runtime: {e}"));
    if let Err(error) = runtime.block_on(scenario(seed)) {
        panic!("seed {seed}: {error:#}\nrun it alone: KOGGE_SEED={seed} cargo test -p e2e --test sim");
    }
}

fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    match number("KOGGE_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("KOGGE_SEEDS").unwrap_or(default)).collect(),
    }
}

async fn deployment_through_restarts(seed: u64) -> anyhow::Result<()> {
    let mut chance = Chance::new(seed);
    let mut cluster = Cluster::start(seed).await?;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.admin.create(deployments, &deployment()).await?;
    cluster.admin.create("/api/v1/namespaces/default/services", &service()).await?;

    let mut bodies: Vec<&str> = BODIES.to_vec();
    chance.shuffle(&mut bodies);
    for body in bodies {
        tokio::time::sleep(Duration::from_millis(chance.below(3000))).await;
        if seed.is_multiple_of(3) {
            cluster.usurp(USURPERS[chance.below(2) as usize]).await?;
        }
        match chance.below(3) {
            0 => cluster.restart_amid_writes(body, chance.below(12), chance.below(2) == 0).await?,
            _ => cluster.restart(body, Duration::from_millis(chance.below(2000))).await?,
        }
    }
    for usurper in USURPERS {
        cluster.depose(usurper).await;
    }

    let up = async {
        loop {
            if let Ok(live) = cluster.admin.get(&format!("{deployments}/web")).await
                && live["status"]["readyReplicas"] == REPLICAS
                && live["status"]["updatedReplicas"] == REPLICAS
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(LIMIT, up).await.is_err() {
        let pods = cluster.admin.get("/api/v1/namespaces/default/pods").await?;
        let nodes = cluster.admin.get("/api/v1/nodes").await?;
        anyhow::bail!("not up within {LIMIT:?}: pods {}\nnodes {}", summary(&pods), summary(&nodes));
    }

    let before = everything(&cluster).await?;
    invariants(&cluster, &before)?;
    tokio::time::sleep(QUIET).await;
    let after = everything(&cluster).await?;
    anyhow::ensure!(before == after, "nothing happens, yet objects changed:\n{before:#}\n{after:#}");
    cluster.stop().await;
    Ok(())
}

/// The objects that a Deployment is made of, as they are now.
async fn everything(cluster: &Cluster) -> anyhow::Result<Value> {
    let mut all = json!({});
    for (name, path) in [
        ("deployments", "/apis/apps/v1/namespaces/default/deployments"),
        ("replicasets", "/apis/apps/v1/namespaces/default/replicasets"),
        ("pods", "/api/v1/namespaces/default/pods"),
        ("services", "/api/v1/namespaces/default/services"),
        ("endpointslices", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"),
    ] {
        all[name] = cluster.admin.get(path).await?["items"].clone();
    }
    Ok(all)
}

/// One ReplicaSet, three pods each with its own address, each container that runs is one that the API knows, and the
/// proxy has told its kernel of the Service and of every pod behind it.
fn invariants(cluster: &Cluster, all: &Value) -> anyhow::Result<()> {
    let list = |name: &str| all[name].as_array().cloned().unwrap_or_default();
    let (sets, pods) = (list("replicasets"), list("pods"));
    anyhow::ensure!(sets.len() == 1, "one ReplicaSet, not {}", sets.len());
    anyhow::ensure!(pods.len() == REPLICAS, "{REPLICAS} pods, not {}", pods.len());
    let ids: BTreeSet<String> = pods
        .iter()
        .filter_map(|p| p["status"]["containerStatuses"][0]["containerID"].as_str())
        .filter_map(|id| id.split("://").nth(1).map(str::to_owned))
        .collect();
    let running: BTreeSet<String> = cluster.containers_running();
    anyhow::ensure!(ids == running, "containers in statuses {ids:?}, containers that run {running:?}");
    for pod in &pods {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(*restarts == 0, "a container was restarted: {restarts}");
    }
    let addresses: BTreeSet<_> = pods.iter().filter_map(|p| p["status"]["podIP"].as_str()).collect();
    anyhow::ensure!(addresses.len() == REPLICAS, "addresses {addresses:?}");
    let service = list("services").into_iter().find(|s| s["metadata"]["name"] == "web");
    let address = service.as_ref().and_then(|s| s["spec"]["clusterIP"].as_str()).unwrap_or_default();
    for wanted in addresses.iter().copied().chain([address]) {
        anyhow::ensure!(cluster.rules.mention(wanted), "the packet rules do not know {wanted}");
    }
    Ok(())
}

fn summary(list: &Value) -> Value {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|i| json!({"name": i["metadata"]["name"], "spec": i["spec"]["nodeName"], "status": i["status"]}))
        .collect()
}

fn deployment() -> Value {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": REPLICAS, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": cluster::IMAGE, "imagePullPolicy": "IfNotPresent"}]},
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}
