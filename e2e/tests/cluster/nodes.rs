//! Nodes that are drained, killed, cut off, and come back.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("nodes::drain_and_uncordon", drain),
        Scenario::new("nodes::a_killed_node_is_replaced", killed),
        Scenario::new("nodes::a_node_cut_off_returns_with_one_copy", cut_off),
    ]
}

const SPREAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: spread}
spec:
  replicas: 6
  selector: {matchLabels: {app: spread}}
  template:
    metadata: {labels: {app: spread}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      containers: [{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}]
"#;

/// The last node, which is not this host's own.
fn victim(c: &Cluster) -> anyhow::Result<String> {
    let nodes = c.shell.ok("$KCTL get nodes -o 'jsonpath={.items[*].metadata.name}'")?;
    let name = nodes.split(' ').next_back().context("no nodes")?;
    Ok(name.to_owned())
}

fn ready(c: &Cluster, node: &str) -> anyhow::Result<String> {
    c.shell.ok(&format!("$KCTL get node {node} -o 'jsonpath={{.status.conditions[?(@.type==\"Ready\")].status}}'"))
}

fn spread(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("$KCTL apply -f - <<'END'\n{SPREAD}\nEND"))?;
    c.shell.ok("$KCTL rollout status deployment/spread --timeout=90s").map(drop)
}

fn drain(c: &Cluster) -> anyhow::Result<()> {
    spread(c)?;
    let node = victim(c)?;
    c.shell.ok_within(
        &format!("$KCTL drain {node} --ignore-daemonsets --delete-emptydir-data --force"),
        Duration::from_secs(120),
    )?;
    let left =
        c.shell.ok(&format!("$KCTL get pods -A --field-selector spec.nodeName={node} -l app=spread --no-headers"))?;
    ensure!(left.is_empty(), "{left}");
    ensure!(c.shell.ok(&format!("$KCTL get node {node}"))?.contains("SchedulingDisabled"));
    c.shell.ok("$KCTL rollout status deployment/spread --timeout=90s")?;
    c.shell.ok(&format!("$KCTL uncordon {node}")).map(drop)
}

fn killed(c: &Cluster) -> anyhow::Result<()> {
    spread(c)?;
    let node = victim(c)?;
    c.shell.ok(&format!("$KCTL cluster node kill {node} --dir $DIR"))?;
    wait::until("NotReady, and its pods elsewhere", Duration::from_secs(60), || {
        ensure!(ready(c, &node)? == "Unknown");
        let pods = c.shell.ok("$KCTL get pods -l app=spread -o 'jsonpath={range .items[*]}{.spec.nodeName} {.status.phase} {.metadata.deletionTimestamp}{\"\\n\"}{end}'")?;
        let alive = pods.lines().filter(|l| !l.starts_with(&node) && l.trim_end().ends_with("Running")).count();
        ensure!(alive == 6, "{pods}");
        Ok(())
    })?;
    c.shell.ok(&format!("$KCTL cluster node start {node} --dir $DIR"))?;
    wait::until("Ready again", Duration::from_secs(60), || {
        ensure!(ready(c, &node)? == "True");
        Ok(())
    })?;
    one_copy(c)
}

fn cut_off(c: &Cluster) -> anyhow::Result<()> {
    spread(c)?;
    let node = victim(c)?;
    c.shell.ok(&format!("$KCTL cluster node partition {node} --dir $DIR"))?;
    wait::until("NotReady", Duration::from_secs(90), || {
        ensure!(ready(c, &node)? == "Unknown");
        Ok(())
    })?;
    c.shell.ok(&format!("$KCTL cluster node start {node} --dir $DIR"))?;
    wait::until("Ready again", Duration::from_secs(90), || {
        ensure!(ready(c, &node)? == "True");
        Ok(())
    })?;
    one_copy(c)
}

/// Six pods run and no more, and every one of them that a node runs is one that the API knows.
fn one_copy(c: &Cluster) -> anyhow::Result<()> {
    wait::until("one copy of each pod", Duration::from_secs(90), || {
        let pods = c.shell.ok("$KCTL get pods -l app=spread --no-headers")?;
        ensure!(pods.lines().count() == 6 && pods.lines().all(|l| l.contains("1/1")), "{pods}");
        Ok(())
    })?;
    c.shell.ok("$KCTL delete deployment spread").map(drop)
}
