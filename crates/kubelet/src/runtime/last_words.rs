//! What a container left to say at its end: its termination message, or the end of its log.

use cri::v1;
use pod_lifecycle::names;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

const MAX_MESSAGE: u64 = 4096;
const MAX_LOG: u64 = 2048;
const MAX_LOG_LINES: usize = 80;

/// The runtime's own message and the container's, as upstream joins them.
pub fn message(status: &v1::ContainerStatus) -> String {
    let mut message = status.message.clone();
    let said = from_file(status).filter(|m| !m.is_empty()).or_else(|| from_log(status)).unwrap_or_default();
    if !said.is_empty() {
        if !message.is_empty() {
            message += ": ";
        }
        message += &said;
    }
    message
}

fn from_file(status: &v1::ContainerStatus) -> Option<String> {
    let path = status.annotations.get(names::TERMINATION_MESSAGE_PATH).filter(|p| !p.is_empty())?;
    let mount = status.mounts.iter().find(|m| m.container_path == *path)?;
    end_of(Path::new(&mount.host_path), MAX_MESSAGE)
}

/// For a failure that left no message, if the container asked for it.
fn from_log(status: &v1::ContainerStatus) -> Option<String> {
    let asked = status.annotations.get(names::TERMINATION_MESSAGE_POLICY).is_some_and(|p| p == "FallbackToLogsOnError");
    if !asked || status.exit_code == 0 || status.reason == "ContainerCannotRun" {
        return None;
    }
    // Lines carry a time, a stream and a tag before the text.
    let raw = end_of(Path::new(&status.log_path), MAX_LOG * 4)?;
    let lines: Vec<&str> = raw.lines().filter_map(|l| l.splitn(4, ' ').nth(3)).collect();
    let text = lines[lines.len().saturating_sub(MAX_LOG_LINES)..].iter().map(|l| format!("{l}\n")).collect::<String>();
    let excess = text.len().saturating_sub(MAX_LOG as usize);
    let start = (excess..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    Some(text[start..].to_owned())
}

fn end_of(path: &Path, most: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most))).ok()?;
    let mut content = vec![];
    file.take(most).read_to_end(&mut content).ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_speaks_only_for_failures() {
        let directory = std::env::temp_dir().join(format!("kubelet-last-words-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let log = directory.join("0.log");
        std::fs::write(&log, "2026-01-01T00:00:00Z stdout F hello\n2026-01-01T00:00:00Z stderr F DONE: it failed\n")
            .unwrap();
        let mut status =
            v1::ContainerStatus { log_path: log.to_string_lossy().into_owned(), exit_code: 1, ..Default::default() };
        assert_eq!(message(&status), "");
        status.annotations.insert(names::TERMINATION_MESSAGE_POLICY.into(), "FallbackToLogsOnError".into());
        assert_eq!(message(&status), "hello\nDONE: it failed\n");
        status.exit_code = 0;
        assert_eq!(message(&status), "");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
