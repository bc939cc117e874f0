//! What a kubelet does beyond running what the API server shows it: pods of its own, evictions, logs that are rotated;
//! and the fields of a pod that reach its containers' kernel.

mod eviction;
mod fields;
mod logs;
mod probes;
mod resize;
mod static_pods;

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use crate::{Cluster, faults};

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    let mut all = vec![];
    all.extend(static_pods::scenarios());
    all.extend(fields::scenarios());
    all.extend(probes::scenarios());
    all.extend(logs::scenarios());
    all.extend(resize::scenarios());
    all.extend(eviction::scenarios());
    all
}

/// The node whose kubelet is restarted and configured anew.
const NODE: &str = "node-3";

fn file(c: &Cluster, name: &str) -> PathBuf {
    c.dir.join("nodes").join(NODE).join(name)
}

fn get(c: &Cluster, object: &str, path: &str) -> anyhow::Result<String> {
    c.shell.ok(&format!("kubectl get {object} -o 'jsonpath={path}'"))
}

/// Kills the node's kubelet, and returns when another one has taken its place.
fn restart(c: &Cluster) -> anyhow::Result<()> {
    let process = format!("{NODE}/kubelet");
    let former = faults::pid(c, &process)?;
    c.shell.ok(&format!("kill -9 {former}"))?;
    wait::until("supervision brings it back", Duration::from_secs(10), || {
        ensure!(faults::pid(c, &process)? != former);
        Ok(())
    })
    .map(drop)
}

/// Runs with more lines in the kubelet's configuration, and puts back what was there whatever happens.
fn configured(c: &Cluster, lines: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let path = file(c, "kubelet.yaml");
    let before = std::fs::read_to_string(&path)?;
    // A key may stand only once.
    let keys: Vec<&str> = lines.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
    let mut skipping = false;
    let kept = before.lines().filter(|line| {
        if !line.starts_with(' ') {
            skipping = keys.iter().any(|key| line.starts_with(&format!("{key}:")));
        }
        !skipping
    });
    std::fs::write(&path, format!("{}\n{lines}", kept.collect::<Vec<_>>().join("\n")))?;
    let outcome = restart(c).and_then(|()| run());
    std::fs::write(&path, before)?;
    restart(c)?;
    outcome
}
