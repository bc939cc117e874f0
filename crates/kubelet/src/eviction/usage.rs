//! What pods use of memory, disk and process ids.

use crate::context::Context;
use pod_lifecycle::{core::Pod, eviction::Usage, names};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// By uid. Pods of which the runtime knows nothing are missing.
pub async fn of_pods(context: &Arc<Context>, pods: &[Arc<Pod>]) -> BTreeMap<String, Usage> {
    let stats = match context.runtime.list_container_stats(None).await {
        Ok(stats) => stats,
        Err(error) => {
            tracing::warn!(%error, "cannot measure what containers use");
            return BTreeMap::new();
        }
    };
    let mut all: BTreeMap<String, Usage> = BTreeMap::new();
    for stats in &stats {
        let label = |name: &str| stats.attributes.as_ref().and_then(|a| a.labels.get(name)).cloned();
        let (Some(uid), Some(name)) = (label(names::POD_UID), label(names::CONTAINER_NAME)) else { continue };
        let usage = all.entry(uid).or_default();
        usage.inodes += stats.writable_layer.as_ref().map_or(0, |layer| number(layer.inodes_used.as_ref()));
        // Those of a name that have ended take disk, too.
        let container = usage.containers.entry(name).or_default();
        container.memory += stats.memory.as_ref().map_or(0, |memory| number(memory.working_set_bytes.as_ref()));
        container.root += stats.writable_layer.as_ref().map_or(0, |layer| number(layer.used_bytes.as_ref()));
    }
    all.retain(|uid, _| pods.iter().any(|pod| names::uid(pod) == uid));
    let (context, pods) = (context.clone(), pods.to_vec());
    let measured = tokio::task::spawn_blocking(move || {
        for pod in &pods {
            if let Some(usage) = all.get_mut(names::uid(pod)) {
                add_files(&context, pod, usage);
                usage.processes = context.cgroups.as_ref().map_or(0, |cgroups| cgroups.processes(pod));
            }
        }
        all
    });
    measured.await.unwrap_or_default()
}

fn number(value: Option<&cri::v1::UInt64Value>) -> u64 {
    value.map_or(0, |value| value.value)
}

/// Logs, and `emptyDir` volumes that lie on disk.
fn add_files(context: &Context, pod: &Pod, usage: &mut Usage) {
    for (name, container) in &mut usage.containers {
        let size = size(&context.paths.pod_logs(pod).join(name));
        container.logs = size.bytes;
        usage.inodes += size.inodes;
    }
    for (name, path) in empty_dirs(context, pod) {
        let size = size(&path);
        usage.empty_dirs.insert(name, size.bytes);
        usage.inodes += size.inodes;
    }
}

/// Names and places of `emptyDir` volumes on disk.
pub fn empty_dirs(context: &Context, pod: &Pod) -> Vec<(String, PathBuf)> {
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
    let on_disk = volumes
        .iter()
        .filter(|v| v.empty_dir.as_ref().is_some_and(|e| e.medium.as_deref().unwrap_or_default().is_empty()));
    let path = |name: &str| context.paths.volume(names::uid(pod), "kubernetes.io~empty-dir", name);
    on_disk.map(|v| (v.name.clone(), path(&v.name))).collect()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    pub inodes: u64,
}

/// What a folder takes of its disk, with all that is in it. Files that go meanwhile are not counted.
pub fn size(path: &Path) -> Size {
    let Ok(own) = fs::symlink_metadata(path) else { return Size::default() };
    let mut total = Size { bytes: own.blocks() * 512, inodes: 1 };
    if own.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let part = size(&entry.path());
            total = Size { bytes: total.bytes + part.bytes, inodes: total.inodes + part.inodes };
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_what_is_in_it() {
        let path = std::env::temp_dir().join(format!("kubelet-size-{}", std::process::id()));
        fs::create_dir_all(path.join("a")).unwrap();
        let empty = size(&path);
        assert_eq!(empty.inodes, 2);
        fs::write(path.join("a/file"), vec![1; 100_000]).unwrap();
        let full = size(&path);
        assert!(full.bytes >= empty.bytes + 100_000 && full.inodes == 3, "{empty:?} {full:?}");
        assert_eq!(size(&path.join("missing")), Size::default());
        fs::remove_dir_all(&path).unwrap();
    }
}
