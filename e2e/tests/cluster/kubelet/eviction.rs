//! Pods go when their node runs out of memory, and when they take more disk than they may. The threshold is one that is
//! met already: most of the machine's memory is not "nearly all of it".

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{NODE, configured, get};
use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("kubelet::evicts_under_pressure", run)]
}

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: filler}
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: ["sh", "-c", "dd if=/dev/zero of=/data/file bs=1M count=2; sleep 1000"]
    volumeMounts: [{name: small, mountPath: /data}]
  volumes: [{name: small, emptyDir: {sizeLimit: 1Mi}}]
---
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: needed, namespace: kube-system}
spec:
  nodeName: node-3
  priorityClassName: system-node-critical
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
"#;

const LATE: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late"}, "spec": {"nodeName": "node-3",
    "containers": [{"name": "main", "image": "busybox"}]}}"#;

fn run(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{PODS}\nEND"))?;
    c.shell.ok("kubectl wait pod/greedy --for=condition=Ready --timeout=30s")?;
    c.shell.ok("kubectl -n kube-system wait pod/needed --for=condition=Ready --timeout=30s")?;
    let ended = |pod: &str, message: &str| {
        wait::until("the pod is evicted", Duration::from_secs(40), || {
            let status = get(c, &format!("pod/{pod}"), "{.status.phase} {.status.reason} {.status.message}")?;
            ensure!(status.starts_with(&format!("Failed Evicted {message}")), "{status}");
            Ok(())
        })
    };
    ended("filler", "Usage of EmptyDir volume \"small\" exceeds the limit \"1Mi\". ")?;
    let pressure = |wanted: &str| {
        wait::until("the node's condition", Duration::from_secs(30), || {
            let path = "{.status.conditions[?(@.type==\"MemoryPressure\")].status}";
            ensure!(get(c, &format!("node/{NODE}"), path)? == wanted);
            Ok(())
        })
    };
    configured(c, "evictionHard: {memory.available: \"99.9%\"}\n", || {
        pressure("True")?;
        ended("greedy", "The node was low on resource: memory. Threshold quantity: ")?;
        let disrupted = "{.status.conditions[?(@.type==\"DisruptionTarget\")].reason}";
        ensure!(get(c, "pod/greedy", disrupted)? == "TerminationByKubelet");
        let events =
            c.shell.ok("kubectl get events --field-selector reason=Evicted,involvedObject.name=greedy -o name")?;
        ensure!(!events.is_empty());
        c.shell.ok(&format!("kubectl create -f - <<'END'\n{LATE}\nEND"))?;
        ended("late", "Pod was rejected: The node had condition: [MemoryPressure]. ")?;
        ensure!(get(c, "-n kube-system pod/needed", "{.status.phase}")? == "Running");
        Ok(())
    })?;
    pressure("False")?;
    c.shell.ok("kubectl delete pod filler greedy late --grace-period=1")?;
    c.shell.ok("kubectl -n kube-system delete pod needed --grace-period=1").map(drop)
}
