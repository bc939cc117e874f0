//! What programs do with kube-rs: lists, writes, watches, exec and logs.

use std::time::Duration;

use anyhow::{Context, ensure};
use api_types::k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Pod, Service},
};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Config,
    api::{
        AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, PropagationPolicy,
        WatchEvent, WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::Cluster;

const LIMIT: Duration = Duration::from_secs(90);

/// All of it, within a bound.
pub fn run(c: &Cluster) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kubeconfig = c.dir.join("admin.kubeconfig");
    runtime.block_on(async {
        component::tls::install_provider();
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        tokio::time::timeout(LIMIT, async {
            pods(&client).await.context("pods")?;
            deployments(&client).await.context("deployments")?;
            services(&client).await.context("services")
        })
        .await
        .context("not within the bound")?
    })
}

async fn pods(client: &Client) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube-rs", "labels": {"app": "kube-rs"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", "echo ready; sleep 3600"],
            }],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    let mut events = pods.watch(&WatchParams::default().labels("app=kube-rs"), "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
            && pod.status.and_then(|s| s.phase).as_deref() == Some("Running")
        {
            break;
        }
    }
    let mut process =
        pods.exec("kube-rs", ["sh", "-c", "echo out; exit 3"], &AttachParams::default().stderr(false)).await?;
    let status = process.take_status().context("no status stream")?;
    let mut said = String::new();
    process.stdout().context("no output stream")?.read_to_string(&mut said).await?;
    ensure!(said == "out\n", "{said:?}");
    let status = status.await.context("no status")?;
    ensure!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");
    ensure!(pods.logs("kube-rs", &LogParams::default()).await? == "ready\n");
    let patch = json!({"metadata": {"labels": {"more": "yes"}}});
    pods.patch("kube-rs", &PatchParams::default(), &Patch::Merge(patch)).await?;
    ensure!(pods.list(&ListParams::default().labels("more=yes")).await?.items.len() == 1);
    pods.delete("kube-rs", &DeleteParams::default()).await?;
    Ok(())
}

async fn deployments(client: &Client) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let labels = json!({"app": "kube-rs-web"});
    let deployment: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kube-rs-web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "web", "image": "kogge/hello", "imagePullPolicy": "IfNotPresent"}],
                },
            },
        },
    }))?;
    deployments.create(&PostParams::default(), &deployment).await?;
    let only = WatchParams::default().fields("metadata.name=kube-rs-web");
    let mut events = deployments.watch(&only, "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(live) | WatchEvent::Modified(live) = event
            && live.status.and_then(|s| s.ready_replicas) == Some(2)
        {
            break;
        }
    }
    let patch = json!({"spec": {"replicas": 1}});
    deployments.patch_scale("kube-rs-web", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let sets: Api<ReplicaSet> = Api::default_namespaced(client.clone());
    ensure!(sets.list(&ListParams::default().labels("app=kube-rs-web")).await?.items.len() == 1);
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    let mut events = deployments.watch(&only, "0").await?.boxed();
    deployments.delete("kube-rs-web", &foreground).await?;
    while let Some(event) = events.try_next().await? {
        if matches!(event, WatchEvent::Deleted(_)) {
            break;
        }
    }
    ensure!(sets.list(&ListParams::default().labels("app=kube-rs-web")).await?.items.is_empty());
    Ok(())
}

async fn services(client: &Client) -> anyhow::Result<()> {
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service: Service = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-rs"},
        "spec": {"sessionAffinity": "ClientIP", "selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }))?;
    let made = services.create(&PostParams::default(), &service).await?;
    ensure!(made.spec.and_then(|s| s.cluster_ip).is_some_and(|ip| ip.starts_with("10.96.")));
    services.delete("kube-rs", &DeleteParams::default()).await?;
    Ok(())
}
