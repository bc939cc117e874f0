//! `emptyDir`: a directory that lives as long as the pod, on disk or in memory.

use super::{files, mounts::Mounts};
use api_types::Quantity;
use pod_lifecycle::core::EmptyDirVolumeSource;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

pub fn ensure(mounts: &Mounts, path: &Path, source: &EmptyDirVolumeSource, group: Option<i64>) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    match source.medium.as_deref() {
        None | Some("") => fs::create_dir_all(path)?,
        Some("Memory") => {
            let limit = source.size_limit.as_ref().and_then(|q| Quantity::try_from(q).ok()).map(|q| q.value());
            mounts.tmpfs(path, limit)?;
        }
        Some(other) => anyhow::bail!("emptyDir medium {other:?} is not supported by this node"),
    }
    // Whatever the umask: any user of the pod may write.
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    if let Some(group) = group {
        files::give_to_group(path, group, true)?;
    }
    Ok(())
}
