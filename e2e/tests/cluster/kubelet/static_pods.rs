//! Static pods: they follow their manifests, whatever happens to their mirrors, to the API server and to the kubelet.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{NODE, file, get, restart};
use crate::{Cluster, faults};

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("kubelet::static_pods", run)]
}

const POD: &str = "pod/web-node-3";

fn manifest(name: &str, label: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{shown: {label}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: hello, image: kogge/hello, imagePullPolicy: IfNotPresent}}]
"
    )
}

fn run(c: &Cluster) -> anyhow::Result<()> {
    let (path, other) = (file(c, "manifests/web.yaml"), file(c, "manifests/other.yaml"));
    let write = |label: &str| std::fs::write(&path, manifest("web", label));
    let container = || get(c, POD, "{.status.containerStatuses[0].containerID}");
    let is_running = |label: &str| {
        wait::until("the mirror shows it running", Duration::from_secs(30), || {
            ensure!(get(c, POD, "{.metadata.labels.shown} {.status.phase}")? == format!("{label} Running"));
            Ok(())
        })
    };
    write("one")?;
    is_running("one")?;
    let annotation = |name: &str| get(c, POD, &format!("{{.metadata.annotations.kubernetes\\.io/config\\.{name}}}"));
    ensure!(annotation("source")? == "file" && !annotation("seen")?.is_empty());
    ensure!(annotation("hash")? == annotation("mirror")?);
    let owner = get(c, POD, "{.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}")?;
    ensure!(owner == format!("Node/{NODE}"), "{owner}");
    ensure!(c.shell.ok(&format!("kubectl logs {POD}"))?.contains("listens"));

    // Deleting the mirror does nothing but bring another one.
    let (first, mirror) = (container()?, get(c, POD, "{.metadata.uid}")?);
    c.shell.ok(&format!("kubectl delete {POD}"))?;
    wait::until("another mirror", Duration::from_secs(10), || {
        ensure!(get(c, POD, "{.metadata.uid}")? != mirror);
        Ok(())
    })?;
    is_running("one")?;
    ensure!(container()? == first, "the container ran on");

    // A killed kubelet adopts it, and starts another one while there is no API server.
    let apiserver = faults::pid(c, "apiserver")?;
    c.shell.ok(&format!("kill -STOP {apiserver}"))?;
    std::fs::write(&other, manifest("other", "x"))?;
    let started = c.shell.ok(&format!(
        "pid=$($KCTL cluster status --dir $DIR | awk '$1==\"{NODE}/kubelet\" {{print $3}}'); kill -9 $pid; \
         i=0; until ls {} | grep -q default_other-{NODE}_; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done",
        file(c, "pod-logs").display()
    ));
    c.shell.ok(&format!("kill -CONT {apiserver}"))?;
    started?;
    wait::until("its mirror, later", Duration::from_secs(30), || {
        ensure!(get(c, "pod/other-node-3", "{.status.phase}")? == "Running");
        Ok(())
    })?;
    ensure!(container()? == first, "the container was adopted");

    // A changed manifest is another pod; no manifest, no pod, not even after a restart.
    write("two")?;
    is_running("two")?;
    ensure!(container()? != first);
    std::fs::remove_file(&path)?;
    std::fs::remove_file(&other)?;
    restart(c)?;
    wait::until("nothing is left", Duration::from_secs(30), || {
        let left = c.shell.ok("kubectl get pods --no-headers -o name")?;
        ensure!(!left.contains("web-node-3") && !left.contains("other-node-3"), "{left}");
        let logs = c.shell.ok(&format!("ls {}", file(c, "pod-logs").display()))?;
        ensure!(!logs.contains("web-node-3") && !logs.contains("other-node-3"), "{logs}");
        Ok(())
    })
    .map(drop)
}
