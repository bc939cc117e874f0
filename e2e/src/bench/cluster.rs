//! A whole cluster: its start by steps, its cost at rest, and how fast pods start on it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use super::{load::Target, process::Process, report};
use crate::{built, shell::Shell};

/// How long the cluster is watched doing nothing.
const REST: Duration = Duration::from_secs(60);
const PODS: &str = "/api/v1/namespaces/default/pods";

pub struct Cluster {
    pub dir: PathBuf,
    shell: Shell,
}

impl Cluster {
    /// From nothing to an answer of DNS; prints the steps.
    pub fn up() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("kogge-bench-{}", std::process::id()));
        let shell = Shell::default().with("KCTL", built::binary("kctl")?).with("DIR", &dir);
        let start = Instant::now();
        let said = shell.ok_within("$KCTL cluster up --dir $DIR", Duration::from_secs(120))?;
        let steps: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        report::line("cluster up", json!({"seconds": report::rounded(start.elapsed().as_secs_f64()), "said": steps}));
        Ok(Self { dir, shell })
    }

    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub fn target(&self) -> anyhow::Result<Target> {
        Target::new(6443, &self.pki(), "admin")
    }

    /// The socket of the first node's containerd.
    pub fn runtime_socket(&self) -> anyhow::Result<PathBuf> {
        let said = self.shell.ok("ls /run/kogge/*/node-1/containerd.sock /run/kogge/*/node-1/containerd/containerd.sock 2>/dev/null | head -1")?;
        ensure!(!said.trim().is_empty(), "no containerd socket below /run/kogge");
        Ok(PathBuf::from(said.trim()))
    }

    /// Stops everything; the certificates stay for the measurement of the API server alone.
    pub fn down(&self) -> anyhow::Result<()> {
        self.shell.ok_within("$KCTL cluster down --dir $DIR", Duration::from_secs(120)).map(drop)
    }

    pub fn purge(&self) -> anyhow::Result<()> {
        self.shell.ok_within("$KCTL cluster down --purge --dir $DIR", Duration::from_secs(120)).map(drop)
    }

    /// Memory and processor time of each component over a minute without work.
    pub async fn at_rest(&self) {
        let processes = Process::of_cluster(&self.dir.display().to_string());
        let before: Vec<f64> = processes.iter().map(|p| p.usage().cpu_seconds).collect();
        tokio::time::sleep(REST).await;
        let (mut each, mut memory, mut cpu) = (Map::new(), [0.0; 2], 0.0);
        for (process, before) in processes.iter().zip(before) {
            let usage = process.usage();
            let spent = usage.cpu_seconds - before;
            let figures = json!({"rss_mb": report::rounded(usage.rss_mb), "cpu_s": report::rounded(spent)});
            match process.name.as_str() {
                "apiserver" | "controller-manager" | "scheduler" => memory[0] += usage.rss_mb,
                "kubelet" | "proxy" => memory[1] += usage.rss_mb,
                _ => {}
            }
            if !["etcd", "containerd"].contains(&process.name.as_str()) {
                cpu += spent;
            }
            each.insert(process.name.clone(), figures);
        }
        report::line(
            "at rest, 60 s",
            json!({
                "control_plane_mb": report::rounded(memory[0]), "kubelet_and_proxy_mb": report::rounded(memory[1]),
                "cpu_percent_of_a_core_without_etcd_and_containerd": report::rounded(cpu / REST.as_secs_f64() * 100.0),
                "each": each,
            }),
        );
    }
}

/// Create to Running, as a watch sees it: one pod after the other, then as many at once.
pub async fn pods(target: &Target, count: usize) -> anyhow::Result<()> {
    let mut one_by_one = vec![];
    for n in 0..count {
        one_by_one.push(start(target, &format!("bench-{n}")).await?);
        delete(target, &format!("bench-{n}")).await?;
    }
    report::line("pod start, one after the other", report::percentiles(&mut one_by_one));
    let begun = Instant::now();
    let names: Vec<String> = (0..count).map(|n| format!("burst-{n}")).collect();
    let mut all = futures::future::try_join_all(names.iter().map(|name| start(target, name))).await?;
    let seconds = report::rounded(begun.elapsed().as_secs_f64());
    let mut figures = json!({"all_running_s": seconds});
    if let (Some(figures), Value::Object(more)) = (figures.as_object_mut(), report::percentiles(&mut all)) {
        figures.extend(more);
    }
    report::line(&format!("pod start, {count} at once"), figures);
    for name in names {
        delete(target, &name).await?;
    }
    Ok(())
}

/// From the request to create to the event that says Running.
async fn start(target: &Target, name: &str) -> anyhow::Result<Duration> {
    let mut watcher = target.connect().await?;
    let at = format!("{PODS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut events = watcher.send(Method::GET, &at, "application/json", Bytes::new()).await?.into_body();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "kogge/pause", "imagePullPolicy": "IfNotPresent"}],
        },
    });
    let begun = Instant::now();
    let mut writer = target.connect().await?;
    writer.round(Method::POST, PODS, "application/json", pod.to_string().into()).await?;
    let mut buffer = vec![];
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(60), events.frame())
            .await
            .with_context(|| format!("{name} did not run within a minute"))?
            .context("the watch ended")??;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line)?;
            if event["object"]["status"]["phase"] == "Running" {
                return Ok(begun.elapsed());
            }
        }
    }
}

async fn delete(target: &Target, name: &str) -> anyhow::Result<()> {
    let mut connection = target.connect().await?;
    let options = json!({"gracePeriodSeconds": 0}).to_string();
    connection.round(Method::DELETE, &format!("{PODS}/{name}"), "application/json", options.into()).await.map(drop)
}
