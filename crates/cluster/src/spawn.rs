//! Starting a process so that it outlives whoever started it.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::libc::RLIMIT_NOFILE;

use crate::proc::Identity;

/// Open files that a component may have; the usual soft limit of 1,024 is too few for thousands of watches.
const OPEN_FILES: u64 = 1 << 20;

/// Starts `program` in a session of its own with its output appended to `log`, inside the network namespace
/// `netns` if there is one. Nothing is shared with the caller, so the process lives on when the caller dies.
pub fn detached(program: &Path, args: &[String], log: &Path, netns: Option<&Path>) -> anyhow::Result<Identity> {
    let open_log = || OpenOptions::new().create(true).append(true).open(log);
    let output = open_log().with_context(|| format!("opening {}", log.display()))?;
    let namespace = match netns {
        Some(path) => Some(File::open(path).with_context(|| format!("opening namespace {}", path.display()))?),
        None => None,
    };
    let mut command = Command::new(program);
    command.args(args).current_dir("/").stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let prepare = move || {
        nix::unistd::setsid()?;
        raise_open_files();
        if let Some(namespace) = &namespace {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    #[allow(unsafe_code)] // a namespace can be entered only by the process itself
    unsafe {
        command.pre_exec(prepare);
    }
    let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let pid = i32::try_from(child.id())?;
    // One that ended at once has no entry any more; a start time of 0 matches no process.
    Ok(Identity::of(pid).unwrap_or(Identity { pid, start_time: 0 }))
}

fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a pointer to a live rlimit on this stack.
    #[allow(unsafe_code)] // nix's wrapper needs a feature for two calls
    unsafe {
        if libc::getrlimit(RLIMIT_NOFILE, &raw mut limit) == 0 {
            let wanted = limit.rlim_max.max(OPEN_FILES);
            let most = libc::rlimit { rlim_cur: wanted, rlim_max: wanted };
            if libc::setrlimit(RLIMIT_NOFILE, &raw const most) != 0 {
                limit.rlim_cur = limit.rlim_max.min(OPEN_FILES);
                libc::setrlimit(RLIMIT_NOFILE, &raw const limit);
            }
        }
    }
}

/// Number of this process's network namespace: which one a cluster lives in.
pub fn network_namespace() -> anyhow::Result<u64> {
    let file = File::open("/proc/self/ns/net")?;
    Ok(std::os::unix::fs::MetadataExt::ino(&file.metadata()?))
}
