//! How much the node has left, as the kernel says.

use crate::{
    context::Context,
    node::machine::{self, Signals},
};
use pod_lifecycle::eviction::{Observation, Observations, Signal};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Remembers where images lie.
#[derive(Default)]
pub struct Meter {
    images: Option<PathBuf>,
}

impl Meter {
    /// What cannot be measured is missing, and then never short.
    pub async fn observe(&mut self, context: &Context) -> Observations {
        let mut seen = Observations::new();
        if context.machine.signals == Signals::None {
            return seen;
        }
        seen.extend(memory().map(|memory| (Signal::MemoryAvailable, memory)));
        seen.extend(processes().map(|processes| (Signal::PidAvailable, processes)));
        if let Some((bytes, inodes)) = disk(&context.paths.root) {
            seen.extend([(Signal::NodeFsAvailable, bytes), (Signal::NodeFsInodesFree, inodes)]);
        }
        if self.images.is_none() {
            self.images = images(context).await;
        }
        if let Some((bytes, inodes)) = self.images.as_deref().and_then(disk) {
            seen.extend([(Signal::ImageFsAvailable, bytes), (Signal::ImageFsInodesFree, inodes)]);
        }
        seen
    }
}

async fn images(context: &Context) -> Option<PathBuf> {
    let info = context.runtime.image_fs_info().await.ok()?;
    Some(PathBuf::from(info.image_filesystems.into_iter().next()?.fs_id?.mountpoint))
}

fn memory() -> Option<Observation> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let of = |key: &str| machine::meminfo(&info, key).and_then(|bytes| u64::try_from(bytes).ok());
    Some(Observation { available: of("MemAvailable")?, capacity: of("MemTotal")? })
}

/// Threads count, for each has an id.
fn processes() -> Option<Observation> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let capacity = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let running: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Observation { available: capacity.saturating_sub(running), capacity })
}

/// Bytes and inodes that are to be had without being root.
fn disk(path: &Path) -> Option<(Observation, Observation)> {
    let fs = nix::sys::statvfs::statvfs(path).ok()?;
    let unit = fs.fragment_size() as u64;
    let of = |available: u64, capacity: u64| Observation { available, capacity };
    Some((
        of(fs.blocks_available() as u64 * unit, fs.blocks() as u64 * unit),
        of(fs.files_available() as u64, fs.files() as u64),
    ))
}
