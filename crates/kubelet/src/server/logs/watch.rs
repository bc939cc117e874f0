//! Waiting for a log to grow.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::folder::Folder;

/// Somebody may have removed and made the folder anew, which no event tells.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// A watch on a log file, whatever file that is at the moment.
pub struct Watch {
    folder: Folder,
    path: PathBuf,
}

impl Watch {
    /// Changes after this call are not missed.
    pub fn new(path: &Path) -> io::Result<Watch> {
        // The folder tells of every file in it: of this one, and of the one that takes its name after a rotation.
        let folder = Folder::watch(path.parent().unwrap_or(Path::new("/")))?;
        Ok(Watch { folder, path: path.to_owned() })
    }

    /// Returns when the file may have grown, ended, or been replaced.
    pub async fn changed(&mut self) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        // A rotated file keeps the name's beginning, and may be written to a last time.
        let event = self.folder.changed(|changed| changed.as_encoded_bytes().starts_with(name));
        tokio::time::timeout(LOOK_ANYWAY, event).await.unwrap_or(Ok(()))
    }
}
