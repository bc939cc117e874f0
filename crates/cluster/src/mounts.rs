//! Mounts below a directory: what containers and volumes leave behind when they are not taken down one by one.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// Unmounts everything at or below the directories, the last mounted first.
pub fn unmount_below(dirs: &[&Path]) {
    // A mount may hide another one at the same place, so one pass may not be enough.
    for _ in 0..8 {
        let found = below(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), dirs);
        if found.is_empty() {
            return;
        }
        for path in found {
            if let Err(error) = umount2(&path, MntFlags::MNT_DETACH) {
                tracing::warn!(path = %path.display(), %error, "cannot be unmounted");
            }
        }
    }
}

fn below(mountinfo: &str, dirs: &[&Path]) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| PathBuf::from(unescape(path)));
    let mut found: Vec<PathBuf> = points.filter(|path| dirs.iter().any(|dir| path.starts_with(dir))).collect();
    found.reverse();
    found
}

/// Mount points have spaces and the like as octal numbers.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_and_the_innermost_first() {
        let info = "22 1 0:20 / /proc rw - proc proc rw\n\
                    30 1 0:31 / /run/kogge/1/a\\040b rw - tmpfs tmpfs rw\n\
                    31 30 0:32 / /run/kogge/1/a\\040b/c rw - tmpfs tmpfs rw\n\
                    32 1 0:33 / /run/kogge/12 rw - tmpfs tmpfs rw\n";
        let found = below(info, &[Path::new("/run/kogge/1")]);
        assert_eq!(found, [PathBuf::from("/run/kogge/1/a b/c"), PathBuf::from("/run/kogge/1/a b")]);
    }
}
