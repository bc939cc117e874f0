//! The API server alone: start, create, get, list, patch, watch and delete of 10,000 pods, as BASELINE figures are taken.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{
    crowds,
    load::{self, Call, Outcome, Target},
    process::Process,
    report,
};
use crate::built;

const NAMESPACE: &str = "bench";
const WORKERS: usize = 64;
const WATCHERS: usize = 200;
const WATCH_EVENTS: usize = 2000;
/// Between two changes of the watch that is not at full speed.
const PACE: Duration = Duration::from_millis(20);
pub(super) const JSON: &str = "application/json";
pub(super) const MERGE: &str = "application/merge-patch+json";

/// Ends its process when it goes out of scope.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    pub(super) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        Ok(Self(child.with_context(|| format!("starting {command:?}"))?))
    }

    pub(super) fn process(&self, name: &str) -> Process {
        Process { name: name.to_owned(), pid: self.0.id() }
    }
}

/// Measures with the certificates that a cluster left in `pki`; `pods` is how many objects there are.
pub async fn run(pki: &Path, pods: usize) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("kogge-bench-api-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let outcome = measure(pki, &dir, pods).await;
    fs::remove_dir_all(&dir).ok();
    outcome
}

async fn measure(pki: &Path, dir: &Path, pods: usize) -> anyhow::Result<()> {
    let (etcd_port, api_port) = (free_port()?, free_port()?);
    let client = etcd_url(etcd_port);
    let etcd = start_etcd(dir, etcd_port)?;
    let target = Target::new(api_port, pki, "admin")?;
    etcd_serves(etcd_port).await?;

    let started = Instant::now();
    let server = start_server(pki, dir, &client, api_port)?;
    ready(&target).await?;
    report::line("start, empty etcd", json!({"ready_ms": millis(started), "rss_mb": rss(&server)}));
    let mut connection = target.connect().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    connection.round(Method::POST, "/api/v1/namespaces", JSON, namespace.to_string().into()).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    connection.round(Method::POST, &accounts, JSON, account.to_string().into()).await?;

    let phases = Phases { target: &target, server: &server, etcd: &etcd };
    phases.measure("create", WORKERS, pods, |n| write(Method::POST, path(""), JSON, pod(n))).await?;
    phases.measure("get", WORKERS, pods.max(20_000), move |n| read(path(&name(n % pods)))).await?;
    phases.measure("list", 8, 40, |_| read(path(""))).await?;
    phases.measure("list, resourceVersion=0", 8, 40, |_| read(path("?resourceVersion=0"))).await?;
    let patch = |n: usize| json!({"metadata": {"annotations": {"round": n.to_string()}}});
    phases
        .measure("patch", WORKERS, pods, move |n| write(Method::PATCH, path(&name(n % pods)), MERGE, patch(n)))
        .await?;
    phases.watch(pods, None).await?;
    phases.watch(pods, Some(PACE)).await?;
    crowds::list_storm(&phases, pods).await?;
    crowds::slow_watchers(&phases, pods).await?;
    crowds::idle_watchers(&phases).await?;
    drop(server);
    let started = Instant::now();
    let server = start_server(pki, dir, &client, api_port)?;
    ready(&target).await?;
    report::line(&format!("start, {pods} pods"), json!({"ready_ms": millis(started), "rss_mb": rss(&server)}));
    let phases = Phases { target: &target, server: &server, etcd: &etcd };
    let now = json!({"gracePeriodSeconds": 0});
    phases.measure("delete", WORKERS, pods, move |n| write(Method::DELETE, path(&name(n)), JSON, now.clone())).await
}

/// What is measured, and through what.
pub(super) struct Phases<'a> {
    pub(super) target: &'a Target,
    server: &'a Running,
    etcd: &'a Running,
}

impl Phases<'_> {
    async fn measure(
        &self,
        phase: &str,
        workers: usize,
        count: usize,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        let before = self.cpu();
        let Outcome { requests, elapsed, bytes, mut latencies } =
            load::phase(self.target, workers, count, call).await?;
        let cost = self.cost(before, requests);
        let seconds = elapsed.as_secs_f64();
        let mut figures = json!({
            "per_s": report::rounded(requests as f64 / seconds),
            "mb_per_s": report::rounded(bytes as f64 / 1e6 / seconds),
        });
        merge(&mut figures, report::percentiles(&mut latencies));
        merge(&mut figures, cost);
        report::line(phase, figures);
        Ok(())
    }

    /// Resident megabytes of the API server.
    pub(super) fn memory(&self) -> f64 {
        self.server.process("").usage().rss_mb
    }

    pub(super) fn peak(&self) -> f64 {
        self.server.process("").usage().peak_mb
    }

    /// The present resourceVersion.
    pub(super) async fn revision(&self) -> anyhow::Result<String> {
        let mut connection = self.target.connect().await?;
        let answer = connection.send(Method::GET, &path("?limit=1"), JSON, Bytes::new()).await?;
        let page: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        Ok(page["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?.to_owned())
    }

    pub(super) fn cpu(&self) -> [f64; 2] {
        [self.server, self.etcd].map(|p| p.process("").usage().cpu_seconds)
    }

    pub(super) fn cost(&self, before: [f64; 2], operations: usize) -> Value {
        let after = self.cpu();
        let each = |n: usize| report::rounded((after[n] - before[n]) * 1000.0 / operations.max(1) as f64);
        let memory = self.server.process("").usage();
        json!({
            "apiserver_ms_per_op": each(0), "etcd_ms_per_op": each(1),
            "apiserver_rss_mb": report::rounded(memory.rss_mb), "apiserver_peak_mb": report::rounded(memory.peak_mb),
        })
    }

    /// Watchers of all pods, while objects are changed: as fast as the server allows, or one each `pace`.
    async fn watch(&self, pods: usize, pace: Option<Duration>) -> anyhow::Result<()> {
        let changes = if pace.is_some() { WATCH_EVENTS / 4 } else { WATCH_EVENTS };
        let revision = self.revision().await?;
        let sent: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..changes).map(|_| OnceLock::new()).collect());
        let mut watchers = tokio::task::JoinSet::new();
        for _ in 0..WATCHERS {
            let mut connection = self.target.connect().await?;
            let at = path(&format!("?watch=true&resourceVersion={revision}"));
            let body = connection.send(Method::GET, &at, JSON, Bytes::new()).await?.into_body();
            watchers.spawn(deliveries(connection, body, sent.clone()));
        }
        let (before, start) = (self.cpu(), Instant::now());
        let times = sent.clone();
        let change = move |n: usize| {
            times[n].set(Instant::now()).ok();
            let body = json!({"metadata": {"annotations": {"watched": format!("-{n}-{changes}")}}});
            write(Method::PATCH, path(&name(n % pods)), MERGE, body)
        };
        match pace {
            None => drop(load::phase(self.target, 16, changes, change).await?),
            Some(pace) => load::paced(self.target, pace, changes, change).await?,
        }
        let mut latencies = Vec::with_capacity(WATCHERS * changes);
        while let Some(done) = watchers.join_next().await {
            latencies.extend(done??);
        }
        let seconds = start.elapsed().as_secs_f64();
        let micros = (self.cpu()[0] - before[0]) * 1e6 / latencies.len().max(1) as f64;
        let cost = self.cost(before, latencies.len());
        let mut figures = json!({
            "deliveries_per_s": report::rounded(latencies.len() as f64 / seconds),
            "apiserver_us_per_delivery_with_the_patches": report::rounded(micros),
            "apiserver_rss_mb": cost["apiserver_rss_mb"],
        });
        merge(&mut figures, report::percentiles(&mut latencies));
        let speed = if pace.is_some() { "50 a second" } else { "full speed" };
        report::line(&format!("watch, {WATCHERS} watchers x {changes} changes, {speed}"), figures);
        Ok(())
    }
}

/// How long after its change each event came.
async fn deliveries(
    connection: load::Connection,
    mut body: hyper::body::Incoming,
    sent: Arc<Vec<OnceLock<Instant>>>,
) -> anyhow::Result<Vec<Duration>> {
    const MARK: &str = "\"watched\":\"-";
    let _connection = connection;
    let (mut latencies, mut text) = (Vec::with_capacity(sent.len()), Vec::new());
    while latencies.len() < sent.len() {
        let frame = body.frame().await.context("the watch ended early")??;
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let now = Instant::now();
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&text[..end]).lines() {
            let number =
                line.find(MARK).and_then(|at| line[at + MARK.len()..].split('-').next()?.parse::<usize>().ok());
            let at = number.and_then(|number| sent.get(number)?.get()).context("an event that nobody caused")?;
            latencies.push(now.duration_since(*at));
        }
        text.drain(..end);
    }
    Ok(latencies)
}

pub(super) fn etcd_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

pub(super) fn start_etcd(dir: &Path, port: u16) -> anyhow::Result<Running> {
    let mut command = Command::new("etcd");
    let (client, peer) = (etcd_url(port), etcd_url(free_port()?));
    command.args(["--data-dir", &dir.join("etcd").display().to_string(), "--log-level", "error", "--logger", "zap"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client, "--listen-peer-urls", &peer]);
    command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    Running::start(command, &dir.join("etcd.log"))
}

pub(super) fn start_server(pki: &Path, dir: &Path, etcd: &str, port: u16) -> anyhow::Result<Running> {
    let file = |name: &str| pki.join(name).display().to_string();
    let program: PathBuf = built::binary("kogge-apiserver")?;
    let mut command = Command::new(program);
    command.args(["--etcd-servers", etcd, "--secure-port", &port.to_string(), "--bind-address", "127.0.0.1"]);
    for (flag, value) in [
        ("--tls-cert-file", file("apiserver.crt")),
        ("--tls-private-key-file", file("apiserver.key")),
        ("--client-ca-file", file("ca.crt")),
        ("--service-account-key-file", file("sa.pub")),
        ("--service-account-signing-key-file", file("sa.key")),
        ("--service-account-issuer", "https://kubernetes.default.svc.cluster.local".into()),
    ] {
        command.arg(flag).arg(value);
    }
    Running::start(command, &dir.join("apiserver.log"))
}

/// Until etcd has elected itself and takes writes: what follows is the API server's own time.
pub(super) async fn etcd_serves(port: u16) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(30);
    let health = async || -> anyhow::Result<bool> {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tcp)).await?;
        tokio::spawn(connection);
        let request = http::Request::get("/health").header(http::header::HOST, "127.0.0.1").body(String::new())?;
        Ok(sender.send_request(request).await?.status().is_success())
    };
    while !health().await.unwrap_or(false) {
        if Instant::now() > limit {
            bail!("etcd did not become healthy");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(super) async fn ready(target: &Target) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = async {
            let mut connection = target.connect().await?;
            connection.round(Method::GET, "/readyz", JSON, Bytes::new()).await
        };
        match answer.await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > limit => return Err(error.context("the API server did not become ready")),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    if port == 0 { bail!("no free port") } else { Ok(port) }
}

fn millis(since: Instant) -> f64 {
    report::rounded(since.elapsed().as_secs_f64() * 1000.0)
}

fn rss(server: &Running) -> f64 {
    report::rounded(server.process("").usage().rss_mb)
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

pub(super) fn path(rest: &str) -> String {
    let slash = if rest.is_empty() || rest.starts_with('?') { "" } else { "/" };
    format!("/api/v1/namespaces/{NAMESPACE}/pods{slash}{rest}")
}

pub(super) fn name(n: usize) -> String {
    format!("p-{n:06}")
}

pub(super) fn read(path: String) -> Call {
    Call { method: Method::GET, path, kind: JSON, body: Bytes::new() }
}

pub(super) fn write(method: Method, path: String, kind: &'static str, body: Value) -> Call {
    Call { method, path, kind, body: body.to_string().into() }
}

/// About 1.3 KB as sent, of the shape that controllers make; no scheduler takes it.
pub(super) fn pod(n: usize) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/team/{name}:v1.2.3"),
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "MODE", "value": "production"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name(n),
            "labels": {"app": format!("app-{}", n % 100), "tier": "backend", "pod-template-hash": "5d4f8c7b9c"},
            "annotations": {"example.com/checksum": "0f343b0931126a20f133d67c2b018a3b"},
        },
        "spec": {
            "schedulerName": "none", "containers": [container("server"), container("sidecar")],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    })
}
