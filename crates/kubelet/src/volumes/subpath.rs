//! Part of a volume as a mount, without letting a link inside the volume lead out of it.
//!
//! The path is opened with the kernel's own check (`RESOLVE_BENEATH`), and what was opened is what
//! is mounted: nothing can be exchanged in between.

use super::mounts::Mounts;
use crate::context::Context;
use anyhow::Context as _;
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::{Mode, SFlag, fstat, mkdirat},
};
use pod_lifecycle::core::VolumeMount;
use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The host path to mount for `sub` of a volume; it is made as a directory if it is not there.
pub fn prepare(
    context: &Context,
    uid: &str,
    volume: &Path,
    sub: &str,
    mount: &VolumeMount,
    container: &str,
    index: usize,
) -> anyhow::Result<PathBuf> {
    if context.mounts == Mounts::Off {
        let path = volume.join(sub);
        if !path.exists() {
            fs::create_dir_all(&path)?;
        }
        return Ok(path);
    }
    let found =
        resolve(volume, sub).with_context(|| format!("failed to prepare subPath for volumeMount {:?}", mount.name))?;
    let target = context.paths.subpath(uid, &mount.name, container, index);
    let is_directory = SFlag::from_bits_truncate(fstat(&found)?.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
    if is_directory {
        fs::create_dir_all(&target)?;
    } else if !target.exists() {
        fs::create_dir_all(target.parent().unwrap_or(Path::new("/")))?;
        fs::write(&target, b"")?;
    }
    let source = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    context.mounts.bind(&source, &target)?;
    Ok(target)
}

fn resolve(volume: &Path, sub: &str) -> anyhow::Result<OwnedFd> {
    let root = open(volume, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&root, sub, how) {
        Ok(found) => return Ok(found),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error).context("the path leads out of the volume"),
    }
    let permissions = Mode::from_bits_truncate(fstat(&root)?.st_mode & 0o777);
    let mut here = root;
    for part in sub.split('/').filter(|p| !p.is_empty() && *p != ".") {
        here = match openat2(&here, part, how) {
            Err(Errno::ENOENT) => {
                match mkdirat(&here, part, permissions) {
                    Err(Errno::EEXIST) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                }
                let made = openat2(&here, part, how)?;
                // Whatever the umask.
                fs::set_permissions(
                    format!("/proc/self/fd/{}", made.as_raw_fd()),
                    std::os::unix::fs::PermissionsExt::from_mode(permissions.bits()),
                )?;
                made
            }
            other => other.context("the path leads out of the volume")?,
        };
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_cannot_lead_out() {
        let directory = std::env::temp_dir().join(format!("kubelet-subpath-{}", std::process::id()));
        fs::create_dir_all(directory.join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", directory.join("out")).unwrap();
        std::os::unix::fs::symlink("in", directory.join("inside")).unwrap();
        assert!(resolve(&directory, "in").is_ok());
        assert!(resolve(&directory, "inside").is_ok());
        assert!(resolve(&directory, "made/deep").is_ok() && directory.join("made/deep").is_dir());
        assert!(resolve(&directory, "out").is_err());
        assert!(resolve(&directory, "out/x").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
