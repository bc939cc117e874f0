//! The scheduler through the API: nodes and pods are made first, then it starts, and the time runs until the last pod
//! is seen bound. Ends with one JSON line.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{self, Running},
    load::{self, Call, Target},
    pki, report,
};
use crate::built;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const NAMESPACE: &str = "bench";
const WORKERS: usize = 32;
/// For all pods together; a measurement that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(300);

/// # Errors
/// When something cannot be started, or not all pods are bound in time.
pub async fn run(nodes: usize, pods: usize) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("kogge-bench-sched-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let outcome = measure(&dir, nodes, pods).await;
    fs::remove_dir_all(&dir).ok();
    outcome
}

async fn measure(dir: &Path, nodes: usize, pods: usize) -> anyhow::Result<()> {
    pki::make(dir)?;
    let (etcd_port, api_port) = (api::free_port()?, api::free_port()?);
    let etcd = api::start_etcd(dir, etcd_port)?;
    api::etcd_serves(etcd_port).await?;
    let server = api::start_server(dir, dir, &api::etcd_url(etcd_port), api_port)?;
    let target = Target::new(api_port, dir, "admin")?;
    api::ready(&target).await?;
    fill(&target, nodes, pods).await?;

    let revision = revision(&target).await?;
    let processes = [&server, &etcd].map(|running| running.process(""));
    let before = processes.clone().map(|process| process.usage().cpu_seconds);
    let start = Instant::now();
    let scheduler = start_scheduler(dir, api_port)?;
    let bound = tokio::time::timeout(LIMIT, all_bound(&target, &revision, pods, start)).await;
    let (first, elapsed) = bound.context("not all pods were bound in time")??;
    let usage = scheduler.process("").usage();
    let after = processes.map(|process| process.usage().cpu_seconds);
    let each = |seconds: f64| report::rounded(seconds * 1000.0 / pods as f64);
    let figures = json!({
        "nodes": nodes,
        "pods": pods,
        "first_ms": report::rounded(first.as_secs_f64() * 1000.0),
        "per_s": report::rounded(pods as f64 / elapsed.as_secs_f64()),
        "sched_cpu_ms_per_pod": each(usage.cpu_seconds),
        "sched_rss_mb": report::rounded(usage.rss_mb),
        "sched_peak_mb": report::rounded(usage.peak_mb),
        "apiserver_cpu_ms_per_pod": each(after[0] - before[0]),
        "etcd_cpu_ms_per_pod": each(after[1] - before[1]),
    });
    println!("{figures}");
    Ok(())
}

async fn fill(target: &Target, nodes: usize, pods: usize) -> anyhow::Result<()> {
    let mut connection = target.connect().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    connection.round(Method::POST, "/api/v1/namespaces", JSON, bytes(&namespace)).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    connection.round(Method::POST, &accounts, JSON, bytes(&account)).await?;
    load::phase(target, WORKERS, nodes, |n| write(Method::POST, "/api/v1/nodes".into(), JSON, &node(n))).await?;
    // Admission has tainted them as not ready, and a status is not taken at creation.
    let untainted = json!({"spec": {"taints": null}});
    let patch = move |n| write(Method::PATCH, format!("/api/v1/nodes/{}", node_name(n)), MERGE, &untainted);
    load::phase(target, WORKERS, nodes, patch).await?;
    let status = |n| write(Method::PATCH, format!("/api/v1/nodes/{}/status", node_name(n)), MERGE, &node_status());
    load::phase(target, WORKERS, nodes, status).await?;
    load::phase(target, WORKERS, pods, |n| write(Method::POST, collection(""), JSON, &pod(n))).await?;
    Ok(())
}

/// The revision that everything made so far is visible at.
async fn revision(target: &Target) -> anyhow::Result<String> {
    let mut connection = target.connect().await?;
    let answer = connection.send(Method::GET, &collection("?limit=1"), JSON, Bytes::new()).await?;
    let page: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    Ok(page["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?.to_owned())
}

fn start_scheduler(dir: &Path, api_port: u16) -> anyhow::Result<Running> {
    let file = |name: &str| dir.join(name).display().to_string();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://127.0.0.1:{api_port}"), "certificate-authority": file("ca.crt")}}],
        "users": [{"name": "bench", "user": {
            "client-certificate": file("scheduler.crt"), "client-key": file("scheduler.key")}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    });
    fs::write(dir.join("scheduler.conf"), kubeconfig.to_string())?;
    let mut command = Command::new(built::binary("kogge-scheduler")?);
    command.args(["--kubeconfig", &file("scheduler.conf"), "--leader-elect=false"]);
    command.arg("--secure-port=0");
    Running::start(command, &dir.join("scheduler.log"))
}

/// When the first and the last pod were seen bound.
async fn all_bound(
    target: &Target,
    revision: &str,
    pods: usize,
    start: Instant,
) -> anyhow::Result<(Duration, Duration)> {
    let path = collection(&format!("?watch=true&resourceVersion={revision}"));
    let mut connection = target.connect().await?;
    let mut body = connection.send(Method::GET, &path, JSON, Bytes::new()).await?.into_body();
    let (mut bound, mut first) = (HashSet::new(), None);
    let mut buffer = BytesMut::new();
    while bound.len() < pods {
        let frame = body.frame().await.context("the watch ended early")??;
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            let change: Change = serde_json::from_slice(&line).context("reading the watch")?;
            if change.kind == "ERROR" {
                bail!("the watch failed: {}", String::from_utf8_lossy(&line));
            }
            if !change.object.spec.node_name.is_empty() {
                first.get_or_insert_with(|| start.elapsed());
                bound.insert(change.object.metadata.name);
            }
        }
    }
    Ok((first.unwrap_or_default(), start.elapsed()))
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    object: Seen,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Seen {
    metadata: SeenMeta,
    spec: SeenSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SeenMeta {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeenSpec {
    node_name: String,
}

fn collection(rest: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods{rest}")
}

fn bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

fn write(method: Method, path: String, kind: &'static str, body: &Value) -> Call {
    Call { method, path, kind, body: bytes(body) }
}

fn node_name(n: usize) -> String {
    format!("node-{n:04}")
}

fn node(n: usize) -> Value {
    let (name, zone) = (node_name(n), format!("zone-{}", n % 3));
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
        "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux"}}})
}

fn node_status() -> Value {
    let room = json!({"cpu": "4", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    json!({"status": {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{n:05}"), "labels": {"app": format!("app-{}", n % 10)}},
        "spec": {"automountServiceAccountToken": false, "containers": [{
            "name": "main", "image": "registry.example.com/team/app:v1.2.3",
            "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}},
        }]},
    })
}
