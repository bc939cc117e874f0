//! The cluster's own images: finding their archives, and getting them into every node.
//!
//! An image comes to a node in two ways. It is imported into the node's containerd, so that no start waits for a pull;
//! and its archive lies in the state directory, from where the cluster's own registry serves it, so that a pod whose
//! pull policy is `Always` (every `:latest`, unless told otherwise) finds it too.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::layout::Layout;
use crate::processes::Gate;
use crate::{gate, options::Spec};

/// What every pod's sandbox runs.
pub const PAUSE: &str = "docker.io/kogge/pause:latest";

/// Archives that the cluster itself needs, in the order in which it does.
const OWN: [&str; 2] = ["pause.tar", "dns.tar"];

/// Archives that have been imported into a node, by name, with what told them apart from others of that name.
type Imported = BTreeMap<String, String>;

/// The directory of the archives that belong to this installation: as chosen, or where `make install` puts them, or
/// where the source tree has them.
pub fn find(chosen: Option<&Path>, bin_dir: &Path) -> anyhow::Result<PathBuf> {
    let candidates = match chosen {
        Some(chosen) => vec![chosen.to_owned()],
        None => {
            vec![bin_dir.join("../share/kogge/images"), bin_dir.join("../../out/images"), PathBuf::from("out/images")]
        }
    };
    match candidates.iter().find(|dir| dir.join("pause.tar").is_file()) {
        Some(dir) => Ok(dir.canonicalize()?),
        None => bail!("no pause.tar in {} (see --images)", candidates[0].display()),
    }
}

/// Puts the archives of a directory into the state directory.
pub fn install(layout: &Layout, from: &Path) -> anyhow::Result<()> {
    for archive in archives(from)? {
        keep(layout, &archive)?;
    }
    Ok(())
}

/// Imports what the node does not have yet, the cluster's own images first: those of the sandbox and of DNS. Returns
/// how many archives that were; calls `own_there` when the first of them are in.
pub async fn import(layout: &Layout, node: &str, own_there: impl FnOnce()) -> anyhow::Result<usize> {
    let files = layout.node(node);
    let mut imported: Imported = std::fs::read_to_string(files.images())
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let mut missing = archives(&layout.images())?;
    missing.retain(|path| imported.get(&name(path)) != Some(&version(path)));
    missing.sort_by_key(|path| OWN.iter().position(|own| name(path) == *own).unwrap_or(OWN.len()));
    let own = missing.iter().filter(|path| OWN.contains(&name(path).as_str())).count();
    let mut own_there = Some(own_there);
    if !missing.is_empty() {
        gate::open(&Gate::Socket(files.containerd_socket())).await;
    }
    let runtime = cri::containerd::Containerd::new(files.containerd_socket());
    for done in 0..=missing.len() {
        if done == own
            && let Some(own_there) = own_there.take()
        {
            own_there();
        }
        let Some(path) = missing.get(done) else { break };
        let import = cri::Runtime::import_image(&runtime, path);
        import.await.with_context(|| format!("importing {} into {node}", path.display()))?;
        imported.insert(name(path), version(path));
        crate::pki::write(&files.images(), &serde_json::to_string(&imported)?, 0o644)?;
    }
    Ok(missing.len())
}

/// Imports archives into the containerd at `endpoint`; those that every node needs, from `dir` or the installation, if
/// none are named. Returns them.
pub async fn import_into(endpoint: &str, dir: Option<&Path>, archives: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let chosen = match archives {
        [] => {
            let programs = std::env::current_exe()?.parent().context("this program has no directory")?.to_owned();
            let dir = find(dir, &programs)?;
            OWN.iter().map(|name| dir.join(name)).filter(|path| path.is_file()).collect()
        }
        named => named.to_vec(),
    };
    let socket = PathBuf::from(endpoint.trim_start_matches("unix://"));
    gate::open(&Gate::Socket(socket.clone())).await;
    let runtime = cri::containerd::Containerd::new(socket);
    for path in &chosen {
        let import = cri::Runtime::import_image(&runtime, path);
        import.await.with_context(|| format!("importing {}", path.display()))?;
    }
    Ok(chosen)
}

/// Loads an OCI archive into every node that runs, and into those that come later.
pub async fn load(dir: &Path, archive: &Path) -> anyhow::Result<Vec<String>> {
    let (layout, spec) = crate::status::existing(dir)?;
    anyhow::ensure!(archive.is_file(), "no file {}", archive.display());
    keep(&layout, archive)?;
    let mut loaded = vec![];
    for node in running(&layout, &spec).await {
        import(&layout, &node, || ()).await?;
        loaded.push(node);
    }
    Ok(loaded)
}

async fn running(layout: &Layout, spec: &Spec) -> Vec<String> {
    let mut running = vec![];
    for node in &spec.nodes {
        if tokio::net::UnixStream::connect(layout.node(node).containerd_socket()).await.is_ok() {
            running.push(node.clone());
        }
    }
    running
}

fn keep(layout: &Layout, archive: &Path) -> anyhow::Result<()> {
    let target = layout.images().join(name(archive));
    if version(archive) == version(&target) {
        return Ok(());
    }
    std::fs::create_dir_all(layout.images())?;
    let partial = crate::pki::with_suffix(&target, "new");
    let _ = std::fs::remove_file(&partial);
    // A link where the file system allows, so that nothing is copied and the time of change stays.
    if std::fs::hard_link(archive, &partial).is_err() {
        std::fs::copy(archive, &partial).with_context(|| format!("copying {}", archive.display()))?;
        let times = std::fs::FileTimes::new().set_modified(std::fs::metadata(archive)?.modified()?);
        std::fs::File::options().write(true).open(&partial)?.set_times(times)?;
    }
    std::fs::rename(&partial, &target).with_context(|| format!("writing {}", target.display()))
}

pub fn archives(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Size and time of change: enough to know an archive by, and cheap.
fn version(path: &Path) -> String {
    std::fs::metadata(path)
        .map(|file| format!("{} {}.{}", file.len(), file.mtime(), file.mtime_nsec()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, from) = (Layout::new(&dir.path().join("state")), dir.path().join("images"));
        std::fs::create_dir_all(&from).unwrap();
        std::fs::write(from.join("pause.tar"), "a").unwrap();
        install(&layout, &from).unwrap();
        let kept = layout.images().join("pause.tar");
        let first = version(&kept);
        install(&layout, &from).unwrap();
        assert_eq!(version(&kept), first);
        std::fs::remove_file(from.join("pause.tar")).unwrap();
        std::fs::write(from.join("pause.tar"), "another").unwrap();
        install(&layout, &from).unwrap();
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "another");
    }

    #[test]
    fn what_was_chosen_is_not_searched_for_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(Some(dir.path()), Path::new("/nowhere")).is_err());
        std::fs::write(dir.path().join("pause.tar"), "").unwrap();
        assert!(find(Some(dir.path()), Path::new("/nowhere")).is_ok());
    }
}
