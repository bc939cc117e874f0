//! Where pods go when they say more than what they need: near, far, evenly, and in place of less important ones.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("placement::spread_over_nodes", spread_over_nodes),
        Scenario::new("placement::near_and_far", near_and_far),
        Scenario::new("placement::preemption_by_priority", preemption),
    ]
}

/// Node by pod, of the pods with a label.
fn nodes_of(c: &Cluster, label: &str) -> anyhow::Result<Vec<String>> {
    let said = c.shell.ok(&format!("kubectl get pods -l {label} -o 'jsonpath={{.items[*].spec.nodeName}}'"))?;
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

const SPREAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: evenly}
spec:
  replicas: 6
  selector: {matchLabels: {app: evenly}}
  template:
    metadata: {labels: {app: evenly}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: evenly}}
        matchLabelKeys: [pod-template-hash]
      containers: [{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}]
"#;

/// Six pods on three nodes with a skew of one: two on each.
fn spread_over_nodes(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{SPREAD}\nEND"))?;
    c.shell.ok("kubectl rollout status deployment/evenly --timeout=60s")?;
    let mut counts = BTreeMap::new();
    for node in nodes_of(c, "app=evenly")? {
        *counts.entry(node).or_insert(0) += 1;
    }
    ensure!(counts.values().copied().collect::<Vec<_>>() == [2, 2, 2], "{counts:?}");
    c.shell.ok("kubectl delete deployment/evenly").map(drop)
}

const NEAR_AND_FAR: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: cache}
spec:
  replicas: 3
  selector: {matchLabels: {app: cache}}
  template:
    metadata: {labels: {app: cache}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: cache}}}
      containers: [{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}]
---
apiVersion: v1
kind: Pod
metadata: {name: first, labels: {app: store}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: beside}
spec:
  replicas: 2
  selector: {matchLabels: {app: beside}}
  template:
    metadata: {labels: {app: beside}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        podAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: store}}}
      containers: [{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}]
"#;

/// Three that may not share a node, two that must be where a third is; a fourth of the former waits and says why.
fn near_and_far(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{NEAR_AND_FAR}\nEND"))?;
    c.shell.ok("kubectl rollout status deployment/cache --timeout=60s")?;
    c.shell.ok("kubectl rollout status deployment/beside --timeout=60s")?;
    let mut caches = nodes_of(c, "app=cache")?;
    caches.sort();
    caches.dedup();
    ensure!(caches.len() == 3, "caches on {caches:?}");
    let first = nodes_of(c, "app=store")?;
    let beside = nodes_of(c, "app=beside")?;
    ensure!(first.len() == 1 && beside.iter().all(|node| *node == first[0]), "{first:?} and {beside:?}");

    c.shell.ok("kubectl scale deployment/cache --replicas=4")?;
    wait::until("the reason of the fourth", Duration::from_secs(30), || {
        let said = c.shell.ok("kubectl describe pods -l app=cache")?;
        ensure!(said.contains("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."), "{said}");
        Ok(())
    })?;
    c.shell.ok("kubectl delete deployment/cache deployment/beside pod/first").map(drop)
}

const PRIORITIES: &str = r#"
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: placement-low}
value: 10
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: placement-high}
value: 1000
"#;

/// A pod that asks for one unit of a resource that a node has one of.
fn wanting(name: &str, class: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  priorityClassName: {class}
  terminationGracePeriodSeconds: 1
  containers:
  - name: hello
    image: kogge/hello
    imagePullPolicy: IfNotPresent
    resources: {{requests: {{example.com/seat: "1"}}, limits: {{example.com/seat: "1"}}}}
"#
    )
}

/// The less important pod leaves, with the condition that says why, and the other one gets its place.
fn preemption(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{PRIORITIES}\nEND"))?;
    let node = c.shell.ok("kubectl get nodes -o 'jsonpath={.items[0].metadata.name}'")?;
    let seat = r#"{"status":{"capacity":{"example.com/seat":"1"},"allocatable":{"example.com/seat":"1"}}}"#;
    c.shell.ok(&format!("kubectl patch node {node} --subresource=status --type=merge -p '{seat}'"))?;
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{}\nEND", wanting("low", "placement-low")))?;
    c.shell.ok("kubectl wait pod/low --for=condition=Ready --timeout=30s")?;
    // Kept from vanishing, so that what it says last can be read.
    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    c.shell.ok(&format!("kubectl patch pod low --type=merge -p '{hold}'"))?;
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{}\nEND", wanting("high", "placement-high")))?;
    wait::until("the eviction", Duration::from_secs(30), || {
        let path = "{.status.conditions[?(@.type==\"DisruptionTarget\")].reason} {.metadata.deletionTimestamp}";
        let said = c.shell.ok(&format!("kubectl get pod low -o 'jsonpath={path}'"))?;
        ensure!(said.starts_with("PreemptionByScheduler 2"), "{said}");
        Ok(())
    })?;
    let events =
        c.shell.ok("kubectl get events --field-selector reason=Preempted -o 'jsonpath={.items[*].message}'")?;
    ensure!(events.contains(&format!("on node {node}")), "{events}");
    let release = r#"{"metadata":{"finalizers":null}}"#;
    c.shell.ok(&format!("kubectl patch pod low --type=merge -p '{release}'"))?;
    c.shell.ok("kubectl wait pod/high --for=condition=Ready --timeout=60s")?;
    ensure!(c.shell.ok("kubectl get pod high -o 'jsonpath={.spec.nodeName}'")? == node);
    c.shell.ok("kubectl delete pod/high priorityclass/placement-low priorityclass/placement-high").map(drop)
}
