//! A running pod is given more and less, without a restart where its policy does not ask for one.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{get, restart};
use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("kubelet::resizes_in_place", run)]
}

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: growing}
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "trap exit TERM; while true; do sleep 0.2; done"]
    resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}
    resizePolicy:
    - {resourceName: cpu, restartPolicy: NotRequired}
    - {resourceName: memory, restartPolicy: RestartContainer}
"#;

fn run(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{POD}\nEND"))?;
    c.shell.ok("kubectl wait pod/growing --for=condition=Ready --timeout=30s")?;
    let resize = |requests: &str, limits: &str| {
        let patch = format!(
            r#"{{"spec":{{"containers":[{{"name":"main","resources":{{"requests":{requests},"limits":{limits}}}}}]}}}}"#
        );
        c.shell.ok(&format!("kubectl patch pod growing --subresource resize -p '{patch}'"))
    };
    let shows = |path: &str, want: &str| {
        wait::until("the pod's status", Duration::from_secs(30), || {
            let got = get(c, "pod/growing", path)?;
            ensure!(got == want, "{got:?} is not {want:?}");
            Ok(())
        })
    };
    let has = "{.status.containerStatuses[0].resources.limits.cpu} {.status.containerStatuses[0].resources.limits.memory} \
               {.status.containerStatuses[0].allocatedResources.cpu} {.status.containerStatuses[0].restartCount}";
    // Either hierarchy: the kernel's own figure, as the container sees it.
    let quota = "kubectl exec growing -- sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d\" \" -f1 /sys/fs/cgroup/cpu.max'";
    for (request, limit, microseconds) in [("150m", "400m", "40000"), ("50m", "100m", "10000")] {
        resize(&format!(r#"{{"cpu":"{request}"}}"#), &format!(r#"{{"cpu":"{limit}"}}"#))?;
        shows(has, &format!("{limit} 32Mi {request} 0"))?;
        ensure!(c.shell.ok(quota)?.trim() == microseconds);
    }
    resize(r#"{"memory":"24Mi"}"#, r#"{"memory":"48Mi"}"#)?;
    shows(has, "100m 48Mi 50m 1")?;

    // What the node will never have changes nothing, also when its kubelet comes back.
    let pending = "{.status.conditions[?(@.type==\"PodResizePending\")].reason}";
    resize(r#"{"cpu":"500"}"#, r#"{"cpu":"500"}"#)?;
    shows(pending, "Infeasible")?;
    restart(c)?;
    shows(pending, "Infeasible")?;
    shows(has, "100m 48Mi 50m 1")?;
    resize(r#"{"cpu":"60m"}"#, r#"{"cpu":"120m"}"#)?;
    shows(has, "120m 48Mi 60m 1")?;
    shows(pending, "")?;
    c.shell.ok("kubectl delete pod growing --grace-period=1").map(drop)
}
