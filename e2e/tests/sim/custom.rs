//! Custom resources among the other objects: the garbage collector and the namespace controller see kinds that come while
//! they run, also after every body has been restarted.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    chance::Chance,
    cluster::{BODIES, Cluster},
};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Simulated time within which what is owned must be gone.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn owners_of_a_kind_that_comes_later() {
    for seed in crate::seeds(3) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap_or_else(|e| panic!("a runtime: {e}"));
        if let Err(error) = runtime.block_on(run(seed)) {
            panic!("seed {seed}: {error:#}\nrun it alone: KOGGE_SEED={seed} cargo test -p e2e --test sim custom");
        }
    }
}

async fn run(seed: u64) -> anyhow::Result<()> {
    let mut chance = Chance::new(seed);
    let mut cluster = Cluster::start(seed).await?;
    // The collector has looked round before the kind comes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    define(&cluster).await?;
    let with_owner = instance(&cluster, "default", "owner").await?;
    own(&cluster, "owned-early", &with_owner).await?;

    let mut bodies: Vec<&str> = BODIES.to_vec();
    chance.shuffle(&mut bodies);
    for body in bodies {
        cluster.restart(body, Duration::from_millis(chance.below(2000))).await?;
    }
    own(&cluster, "owned-late", &with_owner).await?;
    cluster.admin.delete("/apis/example.com/v1/namespaces/default/widgets/owner", None).await?;
    for name in ["owned-early", "owned-late"] {
        gone(&cluster, &format!("/api/v1/namespaces/default/configmaps/{name}")).await?;
    }

    cluster.admin.create("/api/v1/namespaces", &json!({"metadata": {"name": "brief"}})).await?;
    instance(&cluster, "brief", "inside").await?;
    cluster.admin.delete("/api/v1/namespaces/brief", None).await?;
    gone(&cluster, "/api/v1/namespaces/brief").await?;

    // Instances go with their definition, and what they own with them.
    let last = instance(&cluster, "default", "last").await?;
    own(&cluster, "owned-last", &last).await?;
    cluster.admin.delete(&format!("{DEFINITIONS}/widgets.example.com"), None).await?;
    gone(&cluster, &format!("{DEFINITIONS}/widgets.example.com")).await?;
    gone(&cluster, "/api/v1/namespaces/default/configmaps/owned-last").await?;
    cluster.stop().await;
    Ok(())
}

async fn define(cluster: &Cluster) -> anyhow::Result<()> {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    });
    cluster.admin.create(DEFINITIONS, &definition).await?;
    Ok(())
}

async fn instance(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<Value> {
    let path = format!("/apis/example.com/v1/namespaces/{namespace}/widgets");
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}});
    cluster.admin.create(&path, &widget).await?;
    cluster.admin.get(&format!("{path}/{name}")).await
}

async fn own(cluster: &Cluster, name: &str, owner: &Value) -> anyhow::Result<()> {
    let owner = json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"]});
    let map = json!({"metadata": {"name": name, "ownerReferences": [owner]}});
    cluster.admin.create("/api/v1/namespaces/default/configmaps", &map).await?;
    Ok(())
}

async fn gone(cluster: &Cluster, path: &str) -> anyhow::Result<()> {
    let waiting = async {
        while cluster.admin.get(path).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.with_context(|| format!("{path} is still there"))
}
