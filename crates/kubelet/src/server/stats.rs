//! `/stats/summary`: what the node, its pods and their containers use, in upstream's form.

use std::collections::BTreeMap;

use cri::v1::{ContainerStats, CpuUsage, FilesystemUsage, MemoryUsage, UInt64Value};
use jiff::Timestamp;
use pod_lifecycle::names;
use serde_json::{Value, json};

use super::{Answer, json as answer, runtime_failed};
use crate::context::Context;

pub async fn summary(context: &Context) -> Answer {
    let runtime = &context.runtime;
    let containers = runtime.list_container_stats(None).await.map_err(|error| runtime_failed(&error))?;
    let images = runtime.image_fs_info().await.map_err(|error| runtime_failed(&error))?;
    let now = context.clock.now();
    let machine = Machine::read();
    let disk = disk(&context.config.root_dir, now);
    let mut image_fs = disk.clone();
    if let (Some(usage), Some(object)) = (images.image_filesystems.first(), image_fs.as_object_mut()) {
        object.insert("usedBytes".to_owned(), json!(value(&usage.used_bytes)));
        object.insert("inodesUsed".to_owned(), json!(value(&usage.inodes_used)));
    }
    answer(&json!({
        "node": {
            "nodeName": context.config.node_name,
            "startTime": machine.booted.map(|time| time.to_string()),
            "cpu": {"time": now.to_string(), "usageCoreNanoSeconds": machine.cpu_nanos},
            "memory": {
                "time": now.to_string(),
                "availableBytes": machine.available,
                "usageBytes": machine.total.saturating_sub(machine.free),
                "workingSetBytes": machine.total.saturating_sub(machine.available),
            },
            "fs": disk,
            "runtime": {"imageFs": image_fs},
        },
        "pods": pods(context, &containers),
    }))
}

fn pods(context: &Context, stats: &[ContainerStats]) -> Vec<Value> {
    let mut of_pod: BTreeMap<String, Vec<&ContainerStats>> = BTreeMap::new();
    for container in stats {
        let uid = label(container, names::POD_UID);
        of_pod.entry(uid.to_owned()).or_default().push(container);
    }
    let pods = of_pod.into_iter().filter_map(|(uid, containers)| {
        let entry = context.directory.get(&uid)?;
        let started =
            entry.pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string());
        let all: Vec<_> = containers.iter().map(|stats| container(stats, started.as_deref())).collect();
        let cpu = sum(&containers, |stats| stats.cpu.as_ref().map(|cpu| value(&cpu.usage_core_nano_seconds)));
        let memory = sum(&containers, |stats| stats.memory.as_ref().map(|memory| value(&memory.working_set_bytes)));
        let now = context.clock.now().to_string();
        Some(json!({
            "podRef": {"name": names::name(&entry.pod), "namespace": names::namespace(&entry.pod), "uid": uid},
            "startTime": started,
            "containers": all,
            "cpu": {"time": now, "usageCoreNanoSeconds": cpu},
            "memory": {"time": now, "workingSetBytes": memory},
        }))
    });
    pods.collect()
}

fn container(stats: &ContainerStats, started: Option<&str>) -> Value {
    let cpu = |cpu: &CpuUsage| {
        json!({
            "time": time(cpu.timestamp),
            "usageNanoCores": value(&cpu.usage_nano_cores),
            "usageCoreNanoSeconds": value(&cpu.usage_core_nano_seconds),
        })
    };
    let memory = |memory: &MemoryUsage| {
        json!({
            "time": time(memory.timestamp),
            "availableBytes": value(&memory.available_bytes),
            "usageBytes": value(&memory.usage_bytes),
            "workingSetBytes": value(&memory.working_set_bytes),
            "rssBytes": value(&memory.rss_bytes),
            "pageFaults": value(&memory.page_faults),
            "majorPageFaults": value(&memory.major_page_faults),
        })
    };
    let disk = |disk: &FilesystemUsage| {
        json!({
            "time": time(disk.timestamp),
            "usedBytes": value(&disk.used_bytes),
            "inodesUsed": value(&disk.inodes_used),
        })
    };
    json!({
        "name": label(stats, names::CONTAINER_NAME),
        "startTime": started,
        "cpu": stats.cpu.as_ref().map(cpu),
        "memory": stats.memory.as_ref().map(memory),
        "rootfs": stats.writable_layer.as_ref().map(disk),
    })
}

fn sum(containers: &[&ContainerStats], of: impl Fn(&ContainerStats) -> Option<u64>) -> u64 {
    containers.iter().filter_map(|stats| of(stats)).sum()
}

pub fn label<'a>(stats: &'a ContainerStats, name: &str) -> &'a str {
    stats.attributes.as_ref().and_then(|attributes| attributes.labels.get(name)).map_or("", String::as_str)
}

/// A number that may be missing.
pub fn value(value: &Option<UInt64Value>) -> u64 {
    value.as_ref().map_or(0, |value| value.value)
}

fn time(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).map(|time| time.to_string()).unwrap_or_default()
}

/// The kernel's own figures.
#[derive(Debug, Default)]
pub struct Machine {
    pub total: u64,
    pub free: u64,
    pub available: u64,
    pub cpu_nanos: u64,
    pub booted: Option<Timestamp>,
}

impl Machine {
    pub fn read() -> Machine {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Machine::parse(&meminfo, &stat)
    }

    fn parse(meminfo: &str, stat: &str) -> Machine {
        let kib = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        // user nice system idle iowait irq softirq steal, in hundredths of a second. Waiting is no use.
        let times = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let times: Vec<u64> = times.split_whitespace().filter_map(|time| time.parse().ok()).collect();
        let busy: u64 =
            times.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 8).map(|(_, time)| time).sum();
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Machine {
            total: kib("MemTotal"),
            free: kib("MemFree"),
            available: kib("MemAvailable"),
            cpu_nanos: busy * 10_000_000,
            booted: booted.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        }
    }
}

fn disk(path: &std::path::Path, now: Timestamp) -> Value {
    let Ok(disk) = nix::sys::statvfs::statvfs(path) else { return json!({}) };
    let block = disk.fragment_size();
    json!({
        "time": now.to_string(),
        "availableBytes": disk.blocks_available() * block,
        "capacityBytes": disk.blocks() * block,
        "usedBytes": (disk.blocks() - disk.blocks_free()) * block,
        "inodesFree": disk.files_free(),
        "inodes": disk.files(),
        "inodesUsed": disk.files() - disk.files_free(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures() {
        let machine = Machine::parse(
            "MemTotal:       100 kB\nMemFree:         40 kB\nMemAvailable:    60 kB\n",
            "cpu  1 2 3 1000 1000 4 5 6 7 8\ncpu0 0\nbtime 1700000000\n",
        );
        assert_eq!((machine.total, machine.free, machine.available), (102_400, 40_960, 61_440));
        assert_eq!(machine.cpu_nanos, 21 * 10_000_000);
        assert_eq!(machine.booted.unwrap().as_second(), 1_700_000_000);
    }
}
