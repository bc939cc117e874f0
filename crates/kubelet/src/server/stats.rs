//! `/stats/summary`: what the node, its pods and their containers use, in upstream's form.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use cri::v1::{
    ContainerStats, CpuUsage, FilesystemUsage, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, UInt64Value,
};
use jiff::Timestamp;
use pod_lifecycle::{core::Pod, names};
use serde_json::{Map, Value, json};

use super::{Answer, Refusal, json as answer, refuse, runtime_failed};
use crate::{context::Context, directory::Entry, eviction::usage};
use http::StatusCode;

pub async fn summary(context: &Arc<Context>) -> Answer {
    let containers = of_running(context).await?;
    let images = context.runtime.image_fs_info().await.map_err(|error| runtime_failed(&error))?;
    let networks = networks(context).await;
    let context = context.clone();
    // Files are counted, which takes its time.
    let whole = tokio::task::spawn_blocking(move || {
        let now = context.clock.now();
        let place = images.image_filesystems.first();
        let mount = place.and_then(|usage| usage.fs_id.as_ref()).map(|id| id.mountpoint.clone());
        let mut image_fs = disk(mount.as_deref().map_or(&context.config.root_dir, Path::new), now);
        if let (Some(usage), Some(object)) = (place, image_fs.as_object_mut()) {
            object.insert("usedBytes".to_owned(), json!(value(&usage.used_bytes)));
            object.insert("inodesUsed".to_owned(), json!(value(&usage.inodes_used)));
        }
        json!({"node": node(&context, image_fs, now), "pods": pods(&context, &containers, &networks, now)})
    });
    answer(&whole.await.map_err(|error| failed(&error))?)
}

/// Only of containers that run: the runtime counts those that have ended, too, under the same names.
pub async fn of_running(context: &Context) -> Result<Vec<ContainerStats>, Refusal> {
    let mut all = context.runtime.list_container_stats(None).await.map_err(|error| runtime_failed(&error))?;
    all.retain(|stats| {
        let entry = context.directory.get(label(stats, names::POD_UID));
        let id = stats.attributes.as_ref().map_or("", |attributes| &attributes.id);
        entry.is_some_and(|entry| entry.seen.running().any(|container| container.id == id))
    });
    Ok(all)
}

fn failed(error: &tokio::task::JoinError) -> Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn node(context: &Context, image_fs: Value, now: Timestamp) -> Value {
    let machine = Machine::read();
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split_whitespace().nth(3).and_then(|t| t.split_once('/')?.1.parse::<u64>().ok());
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    json!({
        "nodeName": context.config.node_name,
        "startTime": machine.booted.map(|time| time.to_string()),
        "cpu": {"time": now.to_string(), "usageCoreNanoSeconds": machine.cpu_nanos},
        "memory": {
            "time": now.to_string(),
            "availableBytes": machine.available,
            "usageBytes": machine.total.saturating_sub(machine.free),
            "workingSetBytes": machine.total.saturating_sub(machine.available),
        },
        "network": network_of_node(&devices, now),
        "fs": disk(&context.config.root_dir, now),
        "runtime": {"imageFs": image_fs.clone(), "containerFs": image_fs},
        "rlimit": {"time": now.to_string(), "maxpid": number("/proc/sys/kernel/pid_max"), "curproc": running},
    })
}

/// The interface that upstream takes for the node's is its first; loopback and those of pods are not of the node.
fn network_of_node(devices: &str, now: Timestamp) -> Value {
    let all: Vec<Value> = devices
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let name = name.trim();
            let figures: Vec<u64> = rest.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
            let own = name != "lo" && !["veth", "kogge", "kg"].iter().any(|prefix| name.starts_with(prefix));
            (own && figures.len() >= 16).then(|| {
                json!({"name": name, "rxBytes": figures[0], "rxErrors": figures[2],
                    "txBytes": figures[8], "txErrors": figures[10]})
            })
        })
        .collect();
    let mut network = all.first().and_then(Value::as_object).cloned().unwrap_or_default();
    network.insert("time".to_owned(), json!(now.to_string()));
    network.insert("interfaces".to_owned(), json!(all));
    Value::Object(network)
}

/// What sandboxes sent and received, by the pod's uid; nothing from a runtime that does not count.
pub async fn networks(context: &Context) -> BTreeMap<String, NetworkUsage> {
    let sandboxes = match context.runtime.list_pod_sandbox_stats(None).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => {
            tracing::debug!(%error, "the runtime does not count what sandboxes send");
            return BTreeMap::new();
        }
    };
    let network = |sandbox: cri::v1::PodSandboxStats| {
        let uid = sandbox.attributes?.labels.get(names::POD_UID)?.clone();
        Some((uid, sandbox.linux?.network?))
    };
    sandboxes.into_iter().filter_map(network).collect()
}

fn network(usage: &NetworkUsage, now: Timestamp) -> Value {
    let interface = |interface: &NetworkInterfaceUsage| {
        json!({
            "name": interface.name,
            "rxBytes": value(&interface.rx_bytes),
            "rxErrors": value(&interface.rx_errors),
            "txBytes": value(&interface.tx_bytes),
            "txErrors": value(&interface.tx_errors),
        })
    };
    let mut network = match usage.default_interface.as_ref().map(interface) {
        Some(Value::Object(network)) => network,
        _ => Map::new(),
    };
    network.insert("time".to_owned(), json!(if usage.timestamp > 0 { time(usage.timestamp) } else { now.to_string() }));
    let all = usage.default_interface.iter().chain(&usage.interfaces);
    network.insert("interfaces".to_owned(), all.map(interface).collect());
    Value::Object(network)
}

fn pods(
    context: &Context,
    stats: &[ContainerStats],
    networks: &BTreeMap<String, NetworkUsage>,
    now: Timestamp,
) -> Vec<Value> {
    let mut of_pod: BTreeMap<&str, Vec<&ContainerStats>> = BTreeMap::new();
    for container in stats {
        of_pod.entry(label(container, names::POD_UID)).or_default().push(container);
    }
    let root = disk(&context.config.root_dir, now);
    let pods = of_pod.into_iter().filter_map(|(uid, containers)| {
        let entry = context.directory.get(uid)?;
        Some(pod(context, &entry, &containers, networks.get(uid), &root, now))
    });
    pods.collect()
}

fn pod(
    context: &Context,
    entry: &Entry,
    containers: &[&ContainerStats],
    network_usage: Option<&NetworkUsage>,
    root: &Value,
    now: Timestamp,
) -> Value {
    let started =
        entry.pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string());
    let mut total = usage::Size::default();
    let mut all = vec![];
    for stats in containers {
        let logs = usage::size(&context.paths.pod_logs(&entry.pod).join(label(stats, names::CONTAINER_NAME)));
        let layer = stats.writable_layer.as_ref();
        total.bytes += logs.bytes + layer.map_or(0, |layer| value(&layer.used_bytes));
        total.inodes += logs.inodes + layer.map_or(0, |layer| value(&layer.inodes_used));
        all.push(container(stats, started.as_deref(), logs, root));
    }
    let volumes = volumes(context, &entry.pod, root, now, &mut total);
    let cpu = sum(containers, |stats| stats.cpu.as_ref().map(|cpu| value(&cpu.usage_core_nano_seconds)));
    let nano_cores = sum(containers, |stats| stats.cpu.as_ref().map(|cpu| value(&cpu.usage_nano_cores)));
    let memory = |of: fn(&MemoryUsage) -> &Option<UInt64Value>| {
        sum(containers, |stats| stats.memory.as_ref().map(|memory| value(of(memory))))
    };
    let time = now.to_string();
    json!({
        "podRef": {
            "name": names::name(&entry.pod),
            "namespace": names::namespace(&entry.pod),
            "uid": names::uid(&entry.pod),
        },
        "startTime": started,
        "containers": all,
        "cpu": {"time": time, "usageNanoCores": nano_cores, "usageCoreNanoSeconds": cpu},
        "memory": {
            "time": time,
            "usageBytes": memory(|memory| &memory.usage_bytes),
            "workingSetBytes": memory(|memory| &memory.working_set_bytes),
            "rssBytes": memory(|memory| &memory.rss_bytes),
            "pageFaults": memory(|memory| &memory.page_faults),
            "majorPageFaults": memory(|memory| &memory.major_page_faults),
        },
        "network": network_usage.map(|usage| network(usage, now)),
        "volume": volumes,
        "ephemeral-storage": part(root, total, &time),
        "process_stats": {"process_count": context.cgroups.as_ref().map_or(0, |cgroups| cgroups.processes(&entry.pod))},
    })
}

/// What lies in `emptyDir` volumes on disk; it counts as the pod's, too.
fn volumes(context: &Context, pod: &Pod, root: &Value, now: Timestamp, total: &mut usage::Size) -> Vec<Value> {
    let of = |(name, path): (String, std::path::PathBuf)| {
        let size = usage::size(&path);
        *total = usage::Size { bytes: total.bytes + size.bytes, inodes: total.inodes + size.inodes };
        let mut volume = part(root, size, &now.to_string());
        volume["name"] = json!(name);
        volume
    };
    usage::empty_dirs(context, pod).into_iter().map(of).collect()
}

/// A part of the file system that `root` describes.
fn part(root: &Value, size: usage::Size, time: &str) -> Value {
    let mut part = root.clone();
    part["time"] = json!(time);
    part["usedBytes"] = json!(size.bytes);
    part["inodesUsed"] = json!(size.inodes);
    part
}

fn container(stats: &ContainerStats, started: Option<&str>, logs: usage::Size, root: &Value) -> Value {
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
            // Without a limit there is no telling.
            "availableBytes": Some(value(&memory.available_bytes)).filter(|bytes| *bytes > 0),
            "usageBytes": value(&memory.usage_bytes),
            "workingSetBytes": value(&memory.working_set_bytes),
            "rssBytes": value(&memory.rss_bytes),
            "pageFaults": value(&memory.page_faults),
            "majorPageFaults": value(&memory.major_page_faults),
        })
    };
    let layer = |layer: &FilesystemUsage| {
        let size = usage::Size { bytes: value(&layer.used_bytes), inodes: value(&layer.inodes_used) };
        part(root, size, &time(layer.timestamp))
    };
    let looked = stats.cpu.as_ref().map_or(0, |cpu| cpu.timestamp);
    json!({
        "name": label(stats, names::CONTAINER_NAME),
        "startTime": started,
        "cpu": stats.cpu.as_ref().map(cpu),
        "memory": stats.memory.as_ref().map(memory),
        "rootfs": stats.writable_layer.as_ref().map(layer),
        "logs": part(root, logs, &time(looked)),
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

fn disk(path: &Path, now: Timestamp) -> Value {
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
    fn the_nodes_own_interfaces() {
        let devices = "Inter-|   Receive\n face |bytes\n    lo: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n\
            \x20 eth0: 10 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n vethx: 5 0 0 0 0 0 0 0 5 0 0 0 0 0 0 0\n";
        let network = network_of_node(devices, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (&network["name"], &network["rxBytes"], &network["txErrors"]),
            (&json!("eth0"), &json!(10), &json!(3))
        );
        assert_eq!(network["interfaces"].as_array().unwrap().len(), 1);
    }

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
