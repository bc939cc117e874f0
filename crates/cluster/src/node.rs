//! Doing to one node what happens to machines: being switched off, losing power, losing the network, coming back.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::layout::Layout;
use crate::lock::Lock;
use crate::options::Spec;
use crate::record::Record;
use crate::{cgroups, machine, mounts, network, proc, processes, status, supervisor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// Its processes and containers are ended, and it leaves the network.
    Stop,
    /// It comes back, from wherever it was.
    Start,
    /// It loses power: nothing of it has the time to say anything.
    Kill,
    /// Its cable is pulled; everything on it runs on. `Start` puts it back.
    Partition,
}

/// Does it, and returns when it is done.
pub async fn node(dir: &Path, name: &str, action: NodeAction) -> anyhow::Result<()> {
    machine::require_root()?;
    let (layout, spec) = status::existing(dir)?;
    let _lock = Lock::acquire(&layout.lock())?;
    ensure!(spec.nodes.iter().any(|node| node == name), "no node {name}: there are {}", spec.nodes.join(", "));
    match action {
        NodeAction::Start => start(&layout, &spec, name).await,
        NodeAction::Partition => {
            ensure!(!spec.is_host(name), "{name} is this machine: it has no cable that could be pulled");
            network::connect_node(&spec, name, false).await
        }
        NodeAction::Stop => {
            unwant(&layout, &spec, name, false).await?;
            clear(&layout, &spec, name).await;
            Ok(())
        }
        NodeAction::Kill => {
            unwant(&layout, &spec, name, true).await?;
            clear(&layout, &spec, name).await;
            Ok(())
        }
    }
}

async fn start(layout: &Layout, spec: &Spec, name: &str) -> anyhow::Result<()> {
    prepare(layout, spec, name).await?;
    let mut wanted = status::wanted(layout).processes;
    let all = processes::processes(layout, spec, &machine::programs()?);
    for process in all.into_iter().filter(|process| process.node() == Some(name)) {
        if !wanted.iter().any(|one| one.name == process.name) {
            wanted.push(process);
        }
    }
    supervisor::want(layout, &spec.bin_dir.join("kctl"), wanted).await?;
    crate::images::import(layout, name, || ()).await?;
    Ok(())
}

/// What a node needs from the machine before its processes start.
pub async fn prepare(layout: &Layout, spec: &Spec, name: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(layout.node(name).run)?;
    network::ensure(layout, spec).await?;
    cgroups::create(&layout.cgroup(name))
}

/// Takes the node's processes from the supervisor, which ends them; `at_once` leaves them no time.
async fn unwant(layout: &Layout, spec: &Spec, name: &str, at_once: bool) -> anyhow::Result<()> {
    let mut wanted = status::wanted(layout).processes;
    let (gone, rest) = wanted.drain(..).partition::<Vec<_>, _>(|process| process.node() == Some(name));
    if at_once {
        // First the network: a dying process closes its connections, which a machine without power does not.
        if !spec.is_host(name) {
            let _ = network::connect_node(spec, name, false).await;
        }
        for record in gone.iter().filter_map(|process| Record::of_running(layout, &process.name)) {
            record.identity().signal(Signal::SIGKILL);
        }
    }
    supervisor::want(layout, &spec.bin_dir.join("kctl"), rest).await
}

/// Removes what the node's containers were: their processes, mounts and cgroups, and its place on the network.
/// What survives is what a disk would keep.
pub async fn clear(layout: &Layout, spec: &Spec, name: &str) {
    let files = layout.node(name);
    // Shims first: one that is alive reports the death of its container and starts to clean up behind our back.
    let mut left = proc::components_under(&[&files.run, &files.dir]);
    for process in &left {
        process.signal(Signal::SIGKILL);
    }
    cgroups::destroy(&layout.cgroup(name)).await;
    left.retain(|process| process.is_alive());
    for process in left {
        let _ = tokio::time::timeout(Duration::from_secs(2), process.ended()).await;
    }
    remove_shim_sockets(&files.containerd_state());
    mounts::unmount_below(&[&files.run, &files.dir]);
    if !spec.is_host(name) {
        network::remove_node(layout, spec, name).await;
    }
    let _ = std::fs::remove_dir_all(&files.run);
}

/// A shim's socket lies outside of the node's directories, where all shims of the machine have theirs; each bundle
/// has its address.
pub fn remove_shim_sockets(state: &Path) {
    let bundles = state.join("io.containerd.runtime.v2.task/k8s.io");
    for bundle in std::fs::read_dir(bundles).into_iter().flatten().flatten() {
        if let Ok(address) = std::fs::read_to_string(bundle.path().join("address"))
            && let Some(socket) = address.trim().strip_prefix("unix://")
        {
            let _ = std::fs::remove_file(socket);
        }
    }
}
