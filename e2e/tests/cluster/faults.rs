//! Processes killed under load: what runs goes on, what was acknowledged stays, and supervision brings them back.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{scenario::Scenario, wait};

use crate::{Cluster, load::Load};

/// What is killed, one after the other.
const PROCESSES: &[&str] =
    &["apiserver", "controller-manager", "scheduler", "kubelet", "proxy", "cni", "containerd", "etcd"];

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    let mut all: Vec<_> = PROCESSES
        .iter()
        .map(|process| Scenario::new(format!("faults::kill_{process}"), move |c: &Cluster| kill(c, process)))
        .collect();
    all.push(Scenario::new("faults::kill_supervisor", kill_supervisor));
    all
}

/// Restart counts and container ids of the demo's pods.
fn containers(c: &Cluster) -> anyhow::Result<String> {
    c.shell.ok("$KCTL get pods -l app=hello -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].containerID}{\"\\n\"}{end}'")
}

/// The process of the first node with this name, from the cluster's own list.
pub fn pid(c: &Cluster, process: &str) -> anyhow::Result<u32> {
    let status = c.shell.ok("$KCTL cluster status --dir $DIR")?;
    let line = status.lines().find(|l| {
        l.split_whitespace().next().is_some_and(|n| {
            n == process || n.starts_with(&format!("{process}@")) || n.ends_with(&format!("/{process}"))
        })
    });
    let line = line.with_context(|| format!("{process} is not in:\n{status}"))?;
    line.split_whitespace().find_map(|w| w.parse().ok()).with_context(|| format!("no pid in {line:?}"))
}

fn kill(c: &Cluster, process: &str) -> anyhow::Result<()> {
    c.shell.ok("$KCTL apply -f deploy/demo/hello.yaml && $KCTL rollout status deployment/hello --timeout=60s")?;
    let before = containers(c)?;
    let former = pid(c, process)?;
    let load = Load::begin(c, process)?;
    load.goes_on(5)?;
    c.shell.ok(&format!("kill -9 {former}"))?;
    wait::until("supervision brings it back", Duration::from_secs(2), || {
        ensure!(pid(c, process)? != former);
        Ok(())
    })?;
    load.goes_on(20)?;
    load.end()?;
    wait::until("the cluster converges", Duration::from_secs(60), || {
        let pods = c.shell.ok("$KCTL get pods -l app=hello --no-headers")?;
        ensure!(pods.lines().count() == 3 && pods.lines().all(|l| l.contains("1/1")), "{pods}");
        let nodes = c.shell.ok("$KCTL get nodes --no-headers")?;
        ensure!(nodes.lines().all(|l| l.contains(" Ready ")), "{nodes}");
        Ok(())
    })?;
    let after = containers(c)?;
    ensure!(before == after, "containers before:\n{before}after:\n{after}");
    // And it still works: a new pod starts.
    c.shell.ok(&format!("kubectl run after-{process} --image=kogge/hello --image-pull-policy=IfNotPresent"))?;
    c.shell.ok(&format!("kubectl wait pod/after-{process} --for=condition=Ready --timeout=60s"))?;
    c.shell.ok(&format!("kubectl delete pod after-{process} --grace-period=1")).map(drop)
}

fn kill_supervisor(c: &Cluster) -> anyhow::Result<()> {
    let before = containers(c)?;
    let former = pid(c, "supervisor")?;
    let apiserver = pid(c, "apiserver")?;
    c.shell.ok(&format!("kill -9 {former}"))?;
    ensure!(c.shell.ok("kubectl get --raw /readyz")? == "ok");
    c.shell.ok("$KCTL cluster up --dir $DIR --nodes 3")?;
    ensure!(pid(c, "supervisor")? != former);
    ensure!(pid(c, "apiserver")? == apiserver, "the API server was adopted, not started again");
    ensure!(before == containers(c)?);
    Ok(())
}

/// What the running cluster's paths and cgroups are called by.
pub fn id(c: &Cluster) -> anyhow::Result<String> {
    let owner = c.shell.ok("grep -l \"\\\"$DIR\\\"\" /run/kogge/*/owner.json")?;
    Ok(owner.split('/').nth(3).context("the cluster has no owner.json")?.to_owned())
}

/// After `cluster down`: no process, mount, interface, table or cgroup of this cluster. The machine may have others, in
/// network namespaces of their own.
pub fn nothing_left(c: &Cluster, id: &str) -> anyhow::Result<()> {
    let dir = c.dir.display();
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -E '^[^ ]*(kogge-|containerd|etcd|kctl).*({dir}|/{id})'; done; \
         grep -E '{dir}|{id}' /proc/self/mounts; ip -o link | grep -E 'kogge|kg'; \
         ip route show proto 107; nft list tables | grep kogge; \
         find /sys/fs/cgroup -maxdepth 3 -name 'kogge-{id}'; ls -d /run/kogge/{id} {dir} 2>/dev/null; true"
    );
    let left = c.shell.ok(&script)?;
    ensure!(left.trim().is_empty(), "left behind:\n{left}");
    Ok(())
}
