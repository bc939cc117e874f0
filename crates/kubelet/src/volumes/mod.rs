//! Volumes of a pod on disk: made before its containers start, kept up to date while they run, and
//! taken away after they have ended.

pub mod claim;
pub mod empty_dir;
pub mod files;
pub mod host_path;
pub mod mounts;
pub mod objects;
pub mod subpath;
pub mod tokens;

use crate::context::Context;
use jiff::Timestamp;
use objects::Objects;
use pod_lifecycle::{
    core::{Pod, Volume},
    downward, names,
    volumes::payload,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Host paths of the volumes of one pod.
#[derive(Clone, Debug, Default)]
pub struct Mounted {
    paths: BTreeMap<String, PathBuf>,
    read_only: BTreeSet<String>,
    /// When a token in them has to be renewed.
    pub renew_at: Option<Timestamp>,
}

impl Mounted {
    pub fn path(&self, volume: &str) -> Option<&PathBuf> {
        self.paths.get(volume)
    }

    /// Content from the API is never written by containers.
    pub fn is_read_only(&self, volume: &str) -> bool {
        self.read_only.contains(volume)
    }
}

/// Makes or refreshes all volumes. The error is the text of a `FailedMount` event.
pub async fn ensure(context: &Context, pod: &Pod, objects: &Objects) -> Result<Mounted, String> {
    let mut mounted = Mounted::default();
    for volume in pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default() {
        let failed = |error: String| format!("MountVolume.SetUp failed for volume {:?} : {error}", volume.name);
        let path = one(context, pod, volume, objects, &mut mounted).await.map_err(failed)?;
        mounted.paths.insert(volume.name.clone(), path);
    }
    Ok(mounted)
}

async fn one(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    objects: &Objects,
    mounted: &mut Mounted,
) -> Result<PathBuf, String> {
    let uid = names::uid(pod);
    let group = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()).and_then(|c| c.fs_group);
    let chain = |error: anyhow::Error| format!("{error:#}");
    if let Some(source) = &volume.host_path {
        return host_path::check(source).map_err(chain);
    }
    if let Some(source) = &volume.empty_dir {
        let path = context.paths.volume(uid, "kubernetes.io~empty-dir", &volume.name);
        empty_dir::ensure(&context.mounts, &path, source, group).map_err(chain)?;
        return Ok(path);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        let found = claim::resolve(context, names::namespace(pod), &source.claim_name).await;
        let (path, read_only) = found.map_err(|error| {
            format!("error processing PVC {}/{}: {error:#}", names::namespace(pod), source.claim_name)
        })?;
        if read_only || source.read_only == Some(true) {
            mounted.read_only.insert(volume.name.clone());
        }
        return Ok(path);
    }
    let mut tokens = BTreeMap::new();
    for wanted in payload::tokens(volume) {
        let token = context.tokens.get(context, pod, &wanted).await.map_err(chain)?;
        mounted.renew_at = Some(mounted.renew_at.map_or(token.renew_at, |t| t.min(token.renew_at)));
        tokens.insert(wanted, token.token);
    }
    let node = downward::Node { host_ips: &context.host_ips, pod_ips: &[], allocatable: &context.machine.allocatable };
    match payload::files(pod, volume, objects, &node, &tokens) {
        Ok(Some(files)) => {
            let (plugin, in_memory) = plugin(volume);
            let path = context.paths.volume(uid, plugin, &volume.name);
            if in_memory && !path.exists() {
                context.mounts.tmpfs(&path, None).map_err(chain)?;
            }
            files::write(&path, &files, group, context.clock.now()).map_err(chain)?;
            mounted.read_only.insert(volume.name.clone());
            Ok(path)
        }
        Ok(None) => Err("this kind of volume is not supported by this node".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Secrets never touch a disk.
fn plugin(volume: &Volume) -> (&'static str, bool) {
    if volume.config_map.is_some() {
        ("kubernetes.io~configmap", false)
    } else if volume.secret.is_some() {
        ("kubernetes.io~secret", true)
    } else if volume.downward_api.is_some() {
        ("kubernetes.io~downward-api", false)
    } else {
        ("kubernetes.io~projected", true)
    }
}

/// Takes away the volumes of a pod whose containers have ended; its directory stays.
pub fn unmount(context: &Context, uid: &str) -> anyhow::Result<()> {
    let directory = context.paths.pod(uid);
    context.mounts.unmount_below(&directory)?;
    for part in ["volumes", "volume-subpaths"] {
        match std::fs::remove_dir_all(directory.join(part)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Takes away everything of a pod but its directory's own place in `pods/`.
pub fn remove(context: &Context, uid: &str) -> anyhow::Result<()> {
    let directory = context.paths.pod(uid);
    context.mounts.unmount_below(&directory)?;
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
