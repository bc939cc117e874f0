//! The record of a running process, by which a new supervisor finds what a former one has started.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::proc::Identity;
use crate::processes::Process;

/// Contents of a file in `pids/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub pid: i32,
    /// In clock ticks since boot; with the number it names one process for as long as the machine runs.
    pub start_time: u64,
    /// Of the program, its flags and files: a process with another one is restarted by `up`.
    pub digest: String,
    /// How often the process has been started again since it was first wanted.
    pub restarts: u32,
}

impl Record {
    pub fn identity(&self) -> Identity {
        Identity { pid: self.pid, start_time: self.start_time }
    }

    /// The record of a process that is still running.
    pub fn of_running(layout: &Layout, process: &str) -> Option<Self> {
        Self::load(layout, process).filter(|record| record.identity().is_alive())
    }

    /// The record of a process, running or not.
    pub fn load(layout: &Layout, process: &str) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(layout.record(process)).ok()?).ok()
    }

    pub fn save(&self, layout: &Layout, process: &str) -> anyhow::Result<()> {
        crate::pki::write(&layout.record(process), &serde_json::to_string(self)?, 0o644)
    }

    pub fn remove(layout: &Layout, process: &str) -> io::Result<()> {
        match std::fs::remove_file(layout.record(process)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What a running process was started from: the definition, the program's file, and the files it reads only once.
pub fn digest(process: &Process) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;
    use std::os::unix::fs::MetadataExt;
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(process).unwrap_or_default());
    if let Ok(program) = std::fs::metadata(&process.program) {
        hash.update(format!("{} {} {}", program.size(), program.mtime(), program.mtime_nsec()));
    }
    for argument in &process.args {
        if let Some(file) = argument.strip_prefix("--config=") {
            hash.update(std::fs::read(Path::new(file)).unwrap_or_default());
        }
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
