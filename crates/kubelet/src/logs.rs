//! The files that containers log to: rotated when they grow, removed with their container.

use crate::context::Context;
use anyhow::Context as _;
use api_types::Quantity;
use pod_lifecycle::{ContainerSeen, PodSeen, core::Pod, names};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Ends the name of a file that is still being compressed.
const UNFINISHED: &str = "tmp";

pub fn remove_container(context: &Context, pod: &Pod, container: &ContainerSeen) {
    let log = context.paths.pod_logs(pod).join(names::log_file(&container.name, container.attempt));
    for path in
        rotated(&log).into_iter().chain([log, context.paths.container_link(pod, &container.name, &container.id)])
    {
        remove(&path, fs::remove_file);
    }
}

pub fn remove_pod(context: &Context, pod: &Pod, seen: &PodSeen) {
    for container in &seen.containers {
        remove(&context.paths.container_link(pod, &container.name, &container.id), fs::remove_file);
    }
    remove(&context.paths.pod_logs(pod), fs::remove_dir_all);
}

fn remove(path: &Path, by: fn(PathBuf) -> std::io::Result<()>) {
    match by(path.to_path_buf()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a log")
        }
        _ => {}
    }
}

/// Rotates logs for as long as the kubelet runs. There is no event for a file that grows.
pub async fn run(context: Arc<Context>) {
    let limit = Quantity::parse(&context.config.file.container_log_max_size).map_or(10 << 20, |q| q.value());
    let files = context.config.file.container_log_max_files.max(2) as usize;
    let mut ticks = tokio::time::interval(context.config.file.container_log_monitor_interval.0);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for entry in context.directory.list() {
            for container in entry.seen.running().filter(|c| !c.log_path.is_empty()) {
                let log = PathBuf::from(&container.log_path);
                let size = fs::metadata(&log).map_or(0, |m| m.len());
                if limit > 0
                    && size > u64::try_from(limit).unwrap_or(u64::MAX)
                    && let Err(error) = rotate(&context, &container.id, &log, files).await
                {
                    tracing::warn!(log = %log.display(), "cannot rotate a log: {error:#}");
                }
            }
        }
    }
}

/// The log moves aside and the runtime opens a new one; of those set aside the oldest go.
async fn rotate(context: &Context, container: &str, log: &Path, files: usize) -> anyhow::Result<()> {
    let stamp = context.clock.now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut aside = log.as_os_str().to_owned();
    aside.push(format!(".{stamp}"));
    let aside = PathBuf::from(aside);
    fs::rename(log, &aside).context("cannot rename it")?;
    if let Err(error) = context.runtime.reopen_container_log(container).await {
        fs::rename(&aside, log).context("cannot rename it back")?;
        return Err(error).context("the runtime does not open a new one");
    }
    // The newest of them stays as it is: readers may still follow it.
    let log = log.to_owned();
    tokio::task::spawn_blocking(move || tidy(&log, &aside, files)).await?
}

fn tidy(log: &Path, newest: &Path, files: usize) -> anyhow::Result<()> {
    let ends = |path: &Path, end: &str| path.extension().is_some_and(|e| e == end);
    for path in rotated(log).iter().filter(|path| *path != newest && !ends(path, "gz")) {
        if ends(path, UNFINISHED) {
            // Left behind by a kubelet that ended meanwhile; what it was made of is there still.
            remove(path, fs::remove_file);
        } else {
            gzip(path).with_context(|| format!("cannot compress {}", path.display()))?;
        }
    }
    let mut old = rotated(log);
    old.sort();
    for path in old.iter().take(old.len().saturating_sub(files - 1)) {
        remove(path, fs::remove_file);
    }
    Ok(())
}

fn gzip(path: &Path) -> anyhow::Result<()> {
    let with =
        |end: &str| path.with_extension(format!("{}.{end}", path.extension().unwrap_or_default().to_string_lossy()));
    let (unfinished, finished) = (with(UNFINISHED), with("gz"));
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&unfinished)?, flate2::Compression::default());
    std::io::copy(&mut fs::File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(unfinished, finished)?;
    Ok(fs::remove_file(path)?)
}

/// What was set aside and is not compressed, the oldest first.
pub fn set_aside(log: &Path) -> Vec<PathBuf> {
    let mut plain = rotated(log);
    plain.retain(|path| path.extension().is_none_or(|e| e != "gz" && e != UNFINISHED));
    plain.sort();
    plain
}

/// Files beside a log that were it once: `0.log.20260101-000000[.gz]`.
fn rotated(log: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else { return vec![] };
    let prefix = format!("{name}.");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|e| e.path())
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn old_logs_are_compressed_and_the_oldest_go() {
        let folder = std::env::temp_dir().join(format!("kubelet-rotated-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("0.log");
        for name in [
            "0.log",
            "0.log.20260101-000001.gz",
            "0.log.20260101-000002",
            "0.log.20260101-000003",
            "1.log",
            "0.log.x.tmp",
        ] {
            fs::write(folder.join(name), name).unwrap();
        }
        tidy(&log, &folder.join("0.log.20260101-000003"), 3).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["0.log", "0.log.20260101-000002.gz", "0.log.20260101-000003", "1.log"]);
        let mut text = String::new();
        let packed = fs::File::open(folder.join("0.log.20260101-000002.gz")).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "0.log.20260101-000002");
        fs::remove_dir_all(&folder).unwrap();
    }
}
