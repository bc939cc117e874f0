//! The process's metrics in Prometheus' text form, with the `process_*` series that dashboards expect.

use std::{fs, sync::OnceLock};

use prometheus::{
    Encoder, Gauge, GaugeVec, Opts, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::version;

/// Registers what every component shows. May be called again: the first call counts.
pub fn init(component: &str) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let registry = prometheus::default_registry();
        let build = GaugeVec::new(
            Opts::new("kubernetes_build_info", "A metric with a constant '1' value labeled by version and platform."),
            &["major", "minor", "git_version", "platform", "component"],
        );
        let process = Process::new();
        if let (Ok(build), Ok(process)) = (build, process) {
            let platform = format!("{}/{}", std::env::consts::OS, version::go_arch());
            build
                .with_label_values(&[
                    version::KUBERNETES_MAJOR,
                    version::KUBERNETES_MINOR,
                    version::GIT_VERSION,
                    &platform,
                    component,
                ])
                .set(1.0);
            for outcome in [registry.register(Box::new(build)), registry.register(Box::new(process))] {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "cannot register process metrics");
                }
            }
        }
    });
}

/// All registered metrics in text format 0.0.4.
pub fn render() -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&prometheus::gather(), &mut out) {
        tracing::error!(%error, "cannot render metrics");
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Reads `/proc/self` when asked.
struct Process {
    cpu: Gauge,
    resident: Gauge,
    virtual_: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start: Gauge,
}

impl Process {
    fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| Gauge::new(name, help);
        Ok(Self {
            cpu: gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?,
            resident: gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            start: gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")?,
        })
    }

    fn all(&self) -> [&Gauge; 6] {
        [&self.cpu, &self.resident, &self.virtual_, &self.open_fds, &self.max_fds, &self.start]
    }

    fn read(&self) -> Option<()> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Field 2 is the command in parentheses and may hold spaces: count from behind it (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |n: usize| fields.get(n)?.parse::<f64>().ok();
        let ticks = sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
        self.cpu.set((number(11)? + number(12)?) / ticks);
        self.virtual_.set(number(20)?);
        self.resident.set(number(21)? * sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?);
        let boot: f64 =
            fs::read_to_string("/proc/stat").ok()?.lines().find_map(|l| l.strip_prefix("btime "))?.parse().ok()?;
        self.start.set(boot + number(19)? / ticks);
        self.open_fds.set(fs::read_dir("/proc/self/fd").ok()?.count() as f64);
        let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
        self.max_fds.set(limits.0 as f64);
        Some(())
    }
}

fn sysconf(variable: nix::unistd::SysconfVar) -> Option<f64> {
    nix::unistd::sysconf(variable).ok().flatten().map(|n| n as f64)
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.read().is_none() {
            return vec![];
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn shows_the_process() {
        super::init("test");
        super::init("again");
        let text = super::render();
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "kubernetes_build_info"] {
            assert!(text.contains(name), "{text}");
        }
    }
}
