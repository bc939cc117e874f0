//! A DaemonSet over nodes that are tainted, labelled, and come back, and through an update and its rollback.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("daemons::a_pod_on_every_node_that_takes_it", every_node)]
}

const DAEMONS: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: hello
        image: kogge/hello:latest
        imagePullPolicy: IfNotPresent
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
"#;

fn every_node(c: &Cluster) -> anyhow::Result<()> {
    let nodes = c.shell.ok("kubectl get nodes -o 'jsonpath={.items[*].metadata.name}'")?;
    let nodes: Vec<&str> = nodes.split_whitespace().collect();
    let last = *nodes.last().context("no nodes")?;
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{DAEMONS}\nEND"))?;
    rolled_out(c)?;
    on(c, &nodes)?;

    // A node that is cordoned keeps its daemons; one that is tainted loses them, and gets them back.
    c.shell.ok(&format!("kubectl cordon {last}"))?;
    on(c, &nodes)?;
    c.shell.ok(&format!("kubectl uncordon {last} && kubectl taint node {last} dedicated=x:NoExecute"))?;
    on(c, &nodes[..nodes.len() - 1])?;
    c.shell.ok(&format!("kubectl taint node {last} dedicated-"))?;
    on(c, &nodes)?;

    // A selector of nodes narrows the set as they are labelled.
    let select = r#"{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}"#;
    c.shell.ok(&format!("kubectl label node {last} disk=ssd && kubectl patch daemonset agent -p '{select}'"))?;
    on(c, &[last])?;
    c.shell.ok(&format!("kubectl rollout undo daemonset/agent && kubectl label node {last} disk-"))?;
    rolled_out(c)?;
    on(c, &nodes)?;

    let image = || c.shell.ok("kubectl get pods -l app=agent -o 'jsonpath={.items[*].spec.containers[0].image}'");
    c.shell.ok("kubectl set image daemonset/agent hello=kogge/hello:v2")?;
    rolled_out(c)?;
    ensure!(image()?.split(' ').all(|image| image == "kogge/hello:v2"), "{}", image()?);
    c.shell.ok("kubectl rollout undo daemonset/agent")?;
    rolled_out(c)?;
    ensure!(image()?.split(' ').all(|image| image == "kogge/hello:latest"), "{}", image()?);

    c.shell.ok(&format!("$KCTL cluster node kill {last} --dir $DIR"))?;
    c.shell.ok(&format!("$KCTL cluster node start {last} --dir $DIR"))?;
    on(c, &nodes)?;
    c.shell.ok("kubectl delete daemonset/agent").map(drop)
}

fn rolled_out(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok_within("kubectl rollout status daemonset/agent --timeout=120s", Duration::from_secs(130)).map(drop)
}

/// One ready pod on each of these nodes, and none elsewhere.
fn on(c: &Cluster, nodes: &[&str]) -> anyhow::Result<()> {
    wait::until(&format!("a daemon on each of {nodes:?}"), Duration::from_secs(90), || {
        let pods = c.shell.ok(
            "kubectl get pods -l app=agent -o 'jsonpath={range .items[*]}{.spec.nodeName} {.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}'",
        )?;
        let mut found: Vec<&str> = pods.lines().filter_map(|line| line.strip_suffix(" True")).collect();
        found.sort_unstable();
        let mut wanted = nodes.to_vec();
        wanted.sort_unstable();
        ensure!(found == wanted && pods.lines().count() == wanted.len(), "{pods}");
        Ok(())
    })
    .map(drop)
}
