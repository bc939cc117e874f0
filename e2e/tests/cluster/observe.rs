//! Debian's Prometheus with the project's scrape configuration sees every component.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{built, scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("observe::prometheus_sees_every_target", prometheus)]
}

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn prometheus(c: &Cluster) -> anyhow::Result<()> {
    let dir = c.dir.join("e2e-prometheus");
    std::fs::create_dir_all(&dir)?;
    // The configuration names the default folder of a cluster; this one lies elsewhere.
    let text = std::fs::read_to_string(built::root().join("deploy/prometheus/prometheus.yml"))?;
    let config = dir.join("prometheus.yml");
    std::fs::write(&config, text.replace("/var/lib/kogge", &c.dir.display().to_string()))?;
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:9091")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run prometheus")?;
    let _prometheus = Prometheus(child);
    wait::until("every target is up", Duration::from_secs(60), || {
        let targets: serde_json::Value =
            serde_json::from_str(&c.shell.ok("curl -sf 'http://127.0.0.1:9091/api/v1/targets?state=active'")?)?;
        let targets = targets["data"]["activeTargets"].as_array().context("no targets")?.clone();
        let jobs: std::collections::BTreeSet<_> = targets.iter().filter_map(|t| t["labels"]["job"].as_str()).collect();
        ensure!(jobs.len() >= 6, "jobs: {jobs:?}");
        for target in &targets {
            ensure!(
                target["health"] == "up",
                "{}: {} {}",
                target["labels"]["job"],
                target["scrapeUrl"],
                target["lastError"]
            );
        }
        Ok(())
    })?;
    for metric in [
        "apiserver_request_total",
        "apiserver_current_inflight_requests",
        "scheduler_schedule_attempts_total",
        "scheduler_pending_pods",
        "workqueue_adds_total",
        "process_resident_memory_bytes",
    ] {
        let answer = c
            .shell
            .ok(&format!("curl -sfG 'http://127.0.0.1:9091/api/v1/query' --data-urlencode 'query=count({metric})'"))?;
        ensure!(answer.contains("\"value\""), "{metric}: {answer}");
    }
    Ok(())
}
