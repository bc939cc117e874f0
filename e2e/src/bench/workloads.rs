//! What the controllers cost: a Deployment of 1,000 replicas beside 1,000 creates, and 5,000 Deployments at rest.
//!
//! No scheduler takes these pods: what is measured is the way from a Deployment to its pods' objects.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{
    load::{self, Call, Connection, Target},
    process::Process,
    report,
};

const JSON: &str = "application/json";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const REPLICAS: usize = 1000;
const IDLE: usize = 5000;
const WORKERS: usize = 64;
/// How long the idle Deployments are watched doing nothing.
const REST: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(300);

/// `dir` is the cluster's, by which its processes are found.
pub async fn run(target: &Target, dir: &str) -> anyhow::Result<()> {
    let manager = || Process::of_cluster(dir).into_iter().find(|process| process.name == "controller-manager");
    let manager = manager().context("no controller-manager runs")?;
    let mut connection = target.connect().await?;
    let direct = load::phase(target, WORKERS, REPLICAS, |n| create(PODS, &pod(n))).await?.elapsed;
    gone(&mut connection).await?;

    let before = manager.usage().cpu_seconds;
    let begun = Instant::now();
    send(&mut connection, Method::POST, DEPLOYMENTS, &deployment("wide", REPLICAS)).await?;
    reaches(&mut connection, &format!("{DEPLOYMENTS}/wide"), "replicas", REPLICAS).await?;
    let elapsed = begun.elapsed();
    let cost = (manager.usage().cpu_seconds - before) * 1000.0 / REPLICAS as f64;
    report::line(
        "a Deployment of 1,000 replicas",
        json!({
            "seconds": report::rounded(elapsed.as_secs_f64()),
            "the_same_pods_created_directly_s": report::rounded(direct.as_secs_f64()),
            "controller_manager_ms_per_pod": report::rounded(cost),
        }),
    );
    send(&mut connection, Method::PATCH, &format!("{DEPLOYMENTS}/wide"), &json!({"spec": {"replicas": 0}})).await?;
    reaches(&mut connection, &format!("{DEPLOYMENTS}/wide"), "replicas", 0).await?;

    let begun = Instant::now();
    load::phase(target, WORKERS, IDLE, |n| create(DEPLOYMENTS, &deployment(&format!("idle-{n:04}"), 0))).await?;
    let last = format!("{DEPLOYMENTS}/idle-{:04}", IDLE - 1);
    reaches(&mut connection, &last, "observedGeneration", 1).await?;
    let rolled_out = begun.elapsed();
    settles(&manager).await?;
    let before = manager.usage();
    tokio::time::sleep(REST).await;
    let after = manager.usage();
    report::line(
        "5,000 Deployments at rest, 60 s",
        json!({
            "rolled_out_s": report::rounded(rolled_out.as_secs_f64()),
            "controller_manager_cpu_s": report::rounded(after.cpu_seconds - before.cpu_seconds),
            "controller_manager_rss_mb": report::rounded(after.rss_mb),
        }),
    );
    Ok(())
}

async fn send(connection: &mut Connection, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    let form = if method == Method::PATCH { "application/merge-patch+json" } else { JSON };
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let answer = connection.send(method, path, form, body).await?;
    Ok(serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?)
}

/// Until a count in the object's status is this.
async fn reaches(connection: &mut Connection, path: &str, count: &str, wanted: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let object = send(connection, Method::GET, path, &Value::Null).await?;
        if object["status"][count].as_u64().unwrap_or_default() == wanted as u64
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
        {
            return Ok(());
        }
        if begun.elapsed() > LIMIT {
            bail!("{path}: {count} is not {wanted} within {LIMIT:?}: {}", object["status"]);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Deletes the pods that were created directly.
async fn gone(connection: &mut Connection) -> anyhow::Result<()> {
    let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
    send(connection, Method::DELETE, &format!("{PODS}?labelSelector=app%3Ddirect"), &now).await.map(drop)
}

/// Until the process has nothing more to do for what was created.
async fn settles(process: &Process) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let before = process.usage().cpu_seconds;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if process.usage().cpu_seconds - before < 0.05 {
            return Ok(());
        }
        if begun.elapsed() > LIMIT {
            bail!("the controllers are busy after {LIMIT:?}");
        }
    }
}

fn create(collection: &str, object: &Value) -> Call {
    Call { method: Method::POST, path: collection.to_owned(), kind: JSON, body: object.to_string().into() }
}

fn spec() -> Value {
    json!({"schedulerName": "none", "containers": [{"name": "main", "image": "registry.test/app:v1"}]})
}

fn pod(n: usize) -> Value {
    let metadata = json!({"name": format!("direct-{n:04}"), "labels": {"app": "direct"}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec()})
}

fn deployment(name: &str, replicas: usize) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec()},
        },
    })
}
