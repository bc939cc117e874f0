//! Taking a cluster off this machine, whatever state it is in. Idempotent, and needs no process of it to be alive.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::layout::{Layout, RUN_ROOT};
use crate::lock::Lock;
use crate::options::Spec;
use crate::progress::Progress;
use crate::{cgroups, machine, mounts, network, node, proc, status, supervisor, sysctl};

/// Removes everything of the cluster from the machine but its state; that too if `purge`.
pub async fn down(dir: &Path, purge: bool, progress: &dyn Progress) -> anyhow::Result<()> {
    machine::require_root()?;
    let layout = Layout::new(&std::path::absolute(dir)?);
    if !layout.dir().exists() && !layout.run().exists() {
        progress.note(&format!("no cluster in {}", dir.display()));
        return Ok(());
    }
    let lock = Lock::acquire(&layout.lock()).context("another command works on the cluster")?;
    let known = status::load_spec(&layout)?;
    ensure!(known.is_some() || !purge, "{} is no cluster's directory: it is not removed", dir.display());
    let spec = known.unwrap_or_else(|| Spec::new(Default::default(), 1));
    let begun = Instant::now();
    progress.begin("processes");
    stop_processes(&layout, &spec).await;
    progress.end("processes", begun.elapsed(), "stopped");

    let begun = Instant::now();
    progress.begin("containers, network, mounts");
    for name in &spec.nodes {
        node::clear(&layout, &spec, name).await;
    }
    cgroups::destroy(&layout.cgroup_root()).await;
    network::remove(&layout, &spec).await;
    network::remove_devices().await;
    network::remove_tables().await;
    mounts::unmount_below(&[&layout.run(), layout.dir()]);
    sysctl::restore(&layout);
    remove(&layout.run())?;
    // Gone only when this was the machine's last cluster.
    let _ = std::fs::remove_dir(RUN_ROOT);
    progress.end("containers, network, mounts", begun.elapsed(), "removed");
    if purge {
        remove(layout.dir())?;
    }
    drop(lock);
    Ok(())
}

/// Ends the processes in the order in which they need each other, then whatever is left of them.
async fn stop_processes(layout: &Layout, spec: &Spec) {
    let wanted = status::wanted(layout).processes;
    if supervisor::pid(layout).await.is_some() {
        let kctl = spec.bin_dir.join("kctl");
        let (etcd, rest): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(|process| process.name == "etcd");
        if !rest.is_empty() {
            let _ = supervisor::want(layout, &kctl, etcd).await;
        }
        let _ = supervisor::want(layout, &kctl, vec![]).await;
        supervisor::quit(layout).await;
    }
    let left = proc::components_under(&[layout.dir(), &layout.run()]);
    for process in &left {
        process.signal(Signal::SIGKILL);
    }
    for process in left {
        let _ = tokio::time::timeout(Duration::from_secs(5), process.ended()).await;
    }
}

pub fn remove(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}
