//! Processes as the kernel sees them: identity that survives the reuse of numbers, waiting, signals.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process, known by its number and by when it was started (in clock ticks since boot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    pub start_time: u64,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (start_time, state) = parse_stat(&stat)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, start_time })
    }

    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal unless the process has gone; a number taken over by another process is left alone.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Returns when the process has ended, and takes its exit status if it is our child.
    pub async fn ended(self) -> io::Result<String> {
        let Some(fd) = pidfd(self.pid)? else { return Ok("gone".into()) };
        // Between the look at the number and the descriptor it may have changed hands.
        if self.is_alive() {
            // SAFETY: the descriptor is owned by what it is registered with, so it stays open for as long.
            #[allow(unsafe_code)] // the safe form is deprecated in favour of this one
            let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
            let _ = fd.readable().await?;
        }
        Ok(match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => format!("exit code {code}"),
            Ok(nix::sys::wait::WaitStatus::Signaled(_, signal, _)) => format!("killed by {signal}"),
            _ => "ended".into(),
        })
    }

    /// SIGTERM, and SIGKILL when that has not helped within `grace`.
    pub async fn stop(self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.signal(Signal::SIGKILL);
            self.ended().await?;
        }
        Ok(())
    }
}

fn pidfd(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor that nobody else owns.
    #[allow(unsafe_code)] // neither std nor nix has the call
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    if fd < 0 {
        return match Errno::last() {
            Errno::ESRCH => Ok(None),
            error => Err(error.into()),
        };
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: as above.
    #[allow(unsafe_code)]
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Start time and state from `/proc/<pid>/stat`; the name in it may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u64, char)> {
    let rest = stat.get(stat.rfind(')')? + 2..)?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.nth(18)?.parse().ok()?, state))
}

/// Components, shims and the like that have an argument at or under one of these paths: what a crash has left.
/// Nobody else's process, though it may name the same files.
pub fn components_under(paths: &[&Path]) -> Vec<Identity> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![] };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
            is_component(&words) && words.iter().skip(1).any(|word| paths.iter().any(|path| mentions(word, path)))
        })
        .filter_map(Identity::of)
        .collect()
}

fn is_component(words: &[&[u8]]) -> bool {
    let program = words.first().map(|path| path.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
    match program {
        Some(b"etcd" | b"containerd" | b"runc") => true,
        Some(b"kctl") => matches!(words, [_, b"cluster", b"supervise" | b"serve-images", ..]),
        Some(name) => name.starts_with(b"kogge-") || name.starts_with(b"containerd-shim"),
        None => false,
    }
}

/// Whether an argument is `path`, or something below it, perhaps after `--flag=` or `unix://`.
fn mentions(argument: &[u8], path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    let start = argument.windows(path.len().max(1)).position(|window| window == path);
    start.is_some_and(|start| {
        let before = start.checked_sub(1).map(|at| argument[at]);
        let after = argument.get(start + path.len());
        matches!(before, None | Some(b'=' | b'/' | b':')) && matches!(after, None | Some(b'/'))
    })
}

#[cfg(test)]
#[allow(clippy::zombie_processes)] // what is tested waits for them
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_odd_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1 1";
        assert_eq!(parse_stat(stat), Some((9876, 'S')));
    }

    #[test]
    fn arguments_mention_whole_paths_only() {
        let check = |argument: &str, path: &str| mentions(argument.as_bytes(), Path::new(path));
        assert!(check("--config=/var/lib/kogge/a.yaml", "/var/lib/kogge"));
        assert!(check("/run/kogge/1/containerd.sock", "/run/kogge/1"));
        assert!(check("unix:///run/kogge/1", "/run/kogge/1"));
        assert!(!check("/var/lib/kogge2/x", "/var/lib/kogge"));
        assert!(!check("/srv/var/lib/kogge2", "/var/lib/kogge"));
    }

    #[test]
    fn people_and_their_tools_are_not_components() {
        let check = |command: &str| is_component(&command.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert!(check("/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -address /run/kogge/1/containerd.sock"));
        assert!(check("/usr/local/bin/kogge-kubelet --config=/var/lib/kogge/x"));
        assert!(check("kctl cluster supervise --dir /var/lib/kogge"));
        assert!(!check("kctl cluster down --dir /var/lib/kogge"));
        assert!(!check("sudo kctl cluster down --dir /var/lib/kogge"));
        assert!(!check("tail -f /var/lib/kogge/logs/etcd.log"));
    }

    #[tokio::test]
    async fn waits_for_the_end_and_tells_it() {
        let child = std::process::Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // It may have ended already, and is then a zombie that nobody has waited for.
        let identity = Identity::of(pid).unwrap_or(Identity { pid, start_time: 0 });
        assert_eq!(identity.ended().await.unwrap(), "exit code 3");
        assert!(!identity.is_alive());
    }

    #[tokio::test]
    async fn a_deaf_process_is_killed() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo; while :; do read -r _; done"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut line).unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        identity.stop(Duration::from_millis(20)).await.unwrap();
        assert!(!identity.is_alive());
    }
}
