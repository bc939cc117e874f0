//! A StatefulSet of three behind a headless service, through updates, a rollback and the loss of a node.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("stateful::names_survive_updates_and_the_loss_of_a_node", names_survive)]
}

const STATEFUL: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: nginx, labels: {app: nginx}}
spec:
  clusterIP: None
  selector: {app: nginx}
  ports: [{port: 8080, name: web}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: nginx
  replicas: 3
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      containers:
      - name: hello
        image: kogge/hello:latest
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 8080, name: web}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["sleep", "3600"]}
"#;

fn names_survive(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{STATEFUL}\nEND"))?;
    c.shell.ok("kubectl wait pod/asker --for=condition=Ready --timeout=30s")?;
    c.shell.ok_within("kubectl rollout status statefulset/web --timeout=90s", Duration::from_secs(100))?;
    answers(c, ["v1", "v1", "v1"])?;

    let update = |version: &str| {
        let image = format!("kubectl set image statefulset/web hello=kogge/hello:{version}");
        c.shell.ok(&image).map(drop)
    };
    // Only what lies at or above the partition is updated.
    partition(c, 2)?;
    update("v2")?;
    c.shell.ok_within("kubectl rollout status statefulset/web --timeout=90s", Duration::from_secs(100))?;
    answers(c, ["v1", "v1", "v2"])?;
    partition(c, 0)?;
    c.shell.ok_within("kubectl rollout status statefulset/web --timeout=120s", Duration::from_secs(130))?;
    answers(c, ["v2", "v2", "v2"])?;
    c.shell.ok("kubectl rollout undo statefulset/web")?;
    c.shell.ok_within("kubectl rollout status statefulset/web --timeout=120s", Duration::from_secs(130))?;
    answers(c, ["v1", "v1", "v1"])?;
    let history = c.shell.ok("kubectl rollout history statefulset/web")?;
    ensure!(history.lines().filter(|line| line.starts_with(char::is_numeric)).count() == 2, "{history}");

    lose_a_node(c)?;
    scale(c, 1)?;
    scale(c, 3)?;
    c.shell.ok("kubectl delete statefulset/web service/nginx pod/asker --wait=false").map(drop)
}

fn partition(c: &Cluster, partition: u32) -> anyhow::Result<()> {
    let patch = format!(r#"{{"spec":{{"updateStrategy":{{"rollingUpdate":{{"partition":{partition}}}}}}}}}"#);
    c.shell.ok(&format!("kubectl patch statefulset web -p '{patch}'")).map(drop)
}

/// Each pod answers at its own name with the version that is expected of it.
fn answers(c: &Cluster, versions: [&str; 3]) -> anyhow::Result<()> {
    for (ordinal, version) in versions.iter().enumerate() {
        let name = format!("web-{ordinal}.nginx.default.svc.cluster.local");
        wait::until(&format!("{name} answers {version}"), Duration::from_secs(30), || {
            let said = c.shell.ok(&format!("kubectl exec asker -- timeout 2 wget -q -O - http://{name}:8080/"))?;
            ensure!(said.contains(version) && said.contains(&format!("web-{ordinal}")), "{said}");
            Ok(())
        })?;
    }
    Ok(())
}

/// A pod on a node that is gone is not made anew while it may still run there: there is never a second one.
fn lose_a_node(c: &Cluster) -> anyhow::Result<()> {
    let nodes = c.shell.ok("kubectl get nodes -o 'jsonpath={.items[*].metadata.name}'")?;
    let last = nodes.split(' ').next_back().context("no nodes")?.to_owned();
    let on_it = c.shell.ok(&format!(
        "kubectl get pods -l app=nginx --field-selector spec.nodeName={last} -o 'jsonpath={{.items[*].metadata.name}}'"
    ))?;
    let lost: Vec<&str> = on_it.split_whitespace().collect();
    let uid = |pod: &str| c.shell.ok(&format!("kubectl get pod {pod} -o 'jsonpath={{.metadata.uid}}'"));
    let before = lost.iter().map(|pod| uid(pod)).collect::<anyhow::Result<Vec<_>>>()?;
    c.shell.ok(&format!("$KCTL cluster node kill {last} --dir $DIR"))?;
    for pod in &lost {
        wait::until("the pods of the lost node are being deleted", Duration::from_secs(90), || {
            let at = c.shell.ok(&format!("kubectl get pod {pod} -o 'jsonpath={{.metadata.deletionTimestamp}}'"))?;
            ensure!(!at.is_empty(), "{pod} is not");
            Ok(())
        })?;
    }
    for (pod, before) in lost.iter().zip(&before) {
        ensure!(uid(pod)? == *before, "{pod} was made anew while its node was away");
    }
    c.shell.ok(&format!("$KCTL cluster node start {last} --dir $DIR"))?;
    wait::until("three pods are ready again", Duration::from_secs(120), || ready(c, 3))?;
    answers(c, ["v1", "v1", "v1"])
}

fn scale(c: &Cluster, replicas: usize) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl scale statefulset/web --replicas={replicas}"))?;
    wait::until(&format!("{replicas} pods"), Duration::from_secs(90), || ready(c, replicas)).map(drop)
}

fn ready(c: &Cluster, replicas: usize) -> anyhow::Result<()> {
    let pods = c.shell.ok("kubectl get pods -l app=nginx --no-headers")?;
    let up = pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count();
    ensure!(up == replicas && pods.lines().count() == replicas, "{pods}");
    Ok(())
}
