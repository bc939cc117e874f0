//! A lock on a file, held for as long as the value lives, and released by the kernel when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use anyhow::Context;

pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at once or fails.
    pub fn acquire(path: &Path) -> anyhow::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => anyhow::bail!("{} is held by another process", path.display()),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::acquire(&path).unwrap();
        assert!(Lock::acquire(&path).is_err());
        drop(held);
        assert!(Lock::acquire(&path).is_ok());
    }
}
