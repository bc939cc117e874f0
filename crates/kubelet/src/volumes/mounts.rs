//! The kernel's mounts, as far as volumes need them.

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::{fs, path::Path};

/// Whether volumes may mount. A simulation without privileges goes with plain directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    Kernel,
    Off,
}

impl Mounts {
    /// An empty file system in memory at `path`, which is made; `size` in bytes.
    pub fn tmpfs(&self, path: &Path, size: Option<i64>) -> anyhow::Result<()> {
        fs::create_dir_all(path)?;
        if *self == Mounts::Off || is_mount_point(path)? {
            return Ok(());
        }
        let options = size.filter(|s| *s > 0).map(|s| format!("size={s}"));
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), options.as_deref())
            .with_context(|| format!("cannot mount a tmpfs at {}", path.display()))
    }

    /// `source` shows at `target`, which exists and is of the same type.
    pub fn bind(&self, source: &Path, target: &Path) -> anyhow::Result<()> {
        if is_mount_point(target)? {
            umount2(target, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {}", target.display()))?;
        }
        mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
            .with_context(|| format!("cannot mount {} at {}", source.display(), target.display()))
    }

    /// Unmounts everything below a directory, the innermost first.
    pub fn unmount_below(&self, directory: &Path) -> anyhow::Result<()> {
        if *self == Mounts::Off {
            return Ok(());
        }
        let mut points: Vec<_> = mount_points()?.into_iter().filter(|p| Path::new(p).starts_with(directory)).collect();
        points.reverse();
        for point in points {
            umount2(point.as_str(), MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {point}"))?;
        }
        Ok(())
    }
}

fn is_mount_point(path: &Path) -> anyhow::Result<bool> {
    Ok(mount_points()?.iter().any(|p| Path::new(p) == path))
}

/// In the order in which they were mounted.
fn mount_points() -> anyhow::Result<Vec<String>> {
    let info = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(info.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped).collect())
}

/// The kernel writes blanks and backslashes in octal.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
