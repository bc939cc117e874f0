//! Processor time and memory of other processes, from `/proc`.

use std::{fs, path::PathBuf};

use nix::unistd::{SysconfVar, sysconf};

#[derive(Clone, Debug)]
pub struct Process {
    pub name: String,
    pub pid: u32,
}

/// A reading of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time since its start, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in megabytes (10⁶ bytes).
    pub rss_mb: f64,
    /// The most it ever was.
    pub peak_mb: f64,
}

impl Process {
    /// Everything that runs one of our binaries, etcd or containerd below the given state folder.
    pub fn of_cluster(dir: &str) -> Vec<Self> {
        let mut found = vec![];
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            let program =
                words.first().map(PathBuf::from).and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()));
            let Some(program) = program else { continue };
            let ours = program.strip_prefix("kogge-").map(str::to_owned);
            let named = ours.or_else(|| ["etcd", "containerd"].contains(&program.as_str()).then(|| program.clone()));
            if let Some(name) = named.filter(|n| n == "dns" || words.iter().any(|w| w.contains(dir))) {
                found.push(Self { name, pid });
            }
        }
        found.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
        found
    }

    /// Zeroes when the process is gone.
    pub fn usage(&self) -> Usage {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
        let time = |n: usize| fields.get(n)?.parse::<f64>().ok();
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Usage {
            cpu_seconds: (time(11)? + time(12)?) / ticks,
            rss_mb: kilobytes("VmRSS:")? * 1024.0 / 1e6,
            peak_mb: kilobytes("VmHWM:")? * 1024.0 / 1e6,
        })
    }
}
