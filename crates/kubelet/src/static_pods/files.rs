//! Manifests on disk: every file of a folder that does not begin with a dot, or one file.

use super::MANIFEST_MAX;
use crate::folder::Folder;
use anyhow::Context as _;
use pod_lifecycle::static_pods::Origin;
use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// What an editor does to a file are several changes: read once they are over.
const SETTLES_WITHIN: Duration = Duration::from_millis(50);

pub struct Watched {
    path: PathBuf,
    every: Duration,
    folder: Option<Folder>,
}

impl Watched {
    pub fn new(path: &Path, every: Duration) -> Self {
        let mut watched = Self { path: path.to_owned(), every, folder: None };
        watched.watch();
        watched
    }

    /// A file is watched through its folder: it may be replaced by another one.
    fn watch(&mut self) {
        let folder = if self.path.is_dir() { &self.path } else { self.path.parent().unwrap_or(Path::new("/")) };
        self.folder = Folder::watch(folder).ok();
    }

    /// A path that is not there has no manifests.
    pub fn read(&self) -> anyhow::Result<Vec<(Origin, String)>> {
        let metadata = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            metadata => metadata.with_context(|| format!("cannot look at {}", self.path.display()))?,
        };
        if !metadata.is_dir() {
            return Ok(vec![manifest(&self.path)?]);
        }
        let entries = fs::read_dir(&self.path).with_context(|| format!("cannot list {}", self.path.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|p| is_manifest(p)).collect();
        paths.sort();
        let mut all = vec![];
        for path in paths {
            match manifest(&path) {
                Ok(manifest) => all.push(manifest),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        Ok(all)
    }

    /// Returns after a change, and after the period anyway: not every file system tells.
    pub async fn changed(&mut self) {
        let Some(folder) = &self.folder else {
            tokio::time::sleep(self.every).await;
            return self.watch();
        };
        let event = folder.changed(|name| !name.as_encoded_bytes().starts_with(b"."));
        match tokio::time::timeout(self.every, event).await {
            Ok(Ok(())) => tokio::time::sleep(SETTLES_WITHIN).await,
            Ok(Err(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot wait for manifests to change");
                tokio::time::sleep(self.every).await;
            }
            // A folder that was removed and made anew is another one.
            Err(_) => {}
        }
        self.watch();
    }
}

fn is_manifest(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.is_file()
}

fn manifest(path: &Path) -> anyhow::Result<(Origin, String)> {
    let shown = path.display().to_string();
    let file = fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut text = String::new();
    file.take(MANIFEST_MAX as u64 + 1).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(text.len() <= MANIFEST_MAX, "{shown} is longer than {MANIFEST_MAX} bytes");
    Ok((Origin::File(shown), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_tells_of_its_manifests() {
        let path = std::env::temp_dir().join(format!("kubelet-manifests-{}", std::process::id()));
        let mut missing = Watched::new(&path, Duration::from_millis(1));
        assert_eq!(missing.read().unwrap(), vec![]);
        fs::create_dir_all(path.join("below")).unwrap();
        missing.changed().await;
        fs::write(path.join(".hidden"), "no").unwrap();
        fs::write(path.join("b"), "two").unwrap();
        let mut watched = Watched::new(&path, Duration::from_secs(600));
        fs::write(path.join("a"), "one").unwrap();
        tokio::time::timeout(Duration::from_secs(30), watched.changed()).await.unwrap();
        let texts: Vec<String> = watched.read().unwrap().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["one", "two"]);
        fs::remove_file(path.join("a")).unwrap();
        tokio::time::timeout(Duration::from_secs(30), watched.changed()).await.unwrap();
        assert_eq!(watched.read().unwrap().len(), 1);
        assert_eq!(Watched::new(&path.join("b"), Duration::ZERO).read().unwrap().len(), 1);
        fs::remove_dir_all(&path).unwrap();
    }
}
