//! The metrics that are not the kubelet's own: of probes, of resources, and those that dashboards know from cAdvisor.

use std::{collections::BTreeMap, fmt::Write as _};

use cri::v1::{ContainerStats, NetworkInterfaceUsage};
use pod_lifecycle::names;
use prometheus::{Encoder as _, TextEncoder};

use super::Refusal;
use super::stats::{Machine, label, networks, of_running, value};
use crate::context::Context;

pub fn probes() -> String {
    let families = prometheus::gather().into_iter().filter(|family| family.name().starts_with("prober_"));
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families.collect::<Vec<_>>(), &mut out) {
        tracing::error!(%error, "cannot render metrics");
    }
    String::from_utf8(out).unwrap_or_default()
}

/// `/metrics/resource`, which metrics-server reads.
pub async fn resource(context: &Context) -> Result<String, Refusal> {
    let stats = of_running(context).await?;
    let machine = Machine::read();
    let mut out = Exposition::default();
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    out.family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds");
    out.sample("", seconds(machine.cpu_nanos));
    out.family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
    out.sample("", machine.total.saturating_sub(machine.available) as f64);
    let of = |stats: &ContainerStats| {
        labels(&[
            ("container", label(stats, names::CONTAINER_NAME)),
            ("namespace", label(stats, names::POD_NAMESPACE)),
            ("pod", label(stats, names::POD_NAME)),
        ])
    };
    let cpu = "Cumulative cpu time consumed by the container in core-seconds";
    out.family("container_cpu_usage_seconds_total", "counter", cpu);
    for container in &stats {
        out.sample(&of(container), seconds(cpu_nanos(container)));
    }
    out.family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes");
    for container in &stats {
        out.sample(&of(container), working_set(container) as f64);
    }
    out.family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds");
    for container in &stats {
        if let Some(started) = started(context, container) {
            out.sample(&of(container), started.as_millisecond() as f64 / 1e3);
        }
    }
    pod_resources(&stats, &mut out);
    out.family(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    out.sample("", 0.0);
    Ok(out.text)
}

fn started(context: &Context, stats: &ContainerStats) -> Option<jiff::Timestamp> {
    let id = stats.attributes.as_ref().map(|attributes| &attributes.id)?;
    let entry = context.directory.get(label(stats, names::POD_UID))?;
    entry.seen.containers.iter().find(|container| container.id == *id)?.started_at
}

/// Containers of one pod, added up.
fn pod_resources(stats: &[ContainerStats], out: &mut Exposition) {
    let mut pods: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for container in stats {
        let sum = pods.entry((label(container, names::POD_NAMESPACE), label(container, names::POD_NAME))).or_default();
        *sum = (sum.0 + cpu_nanos(container), sum.1 + working_set(container));
    }
    let of = |(namespace, pod): &(&str, &str)| labels(&[("namespace", namespace), ("pod", pod)]);
    out.family("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds");
    for (pod, (cpu, _)) in &pods {
        out.sample(&of(pod), *cpu as f64 / 1e9);
    }
    out.family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
    for (pod, (_, memory)) in &pods {
        out.sample(&of(pod), *memory as f64);
    }
}

/// `/metrics/cadvisor`: per container, with the labels that cAdvisor gives.
pub async fn cadvisor(context: &Context) -> Result<String, Refusal> {
    let stats = of_running(context).await?;
    let mut out = Exposition::default();
    out.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    out.sample("", std::thread::available_parallelism().map_or(0, usize::from) as f64);
    out.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
    out.sample("", Machine::read().total as f64);
    let of = |stats: &ContainerStats| {
        let id = stats.attributes.as_ref().map_or("", |attributes| attributes.id.as_str());
        let image = context.directory.get(label(stats, names::POD_UID)).and_then(|entry| {
            entry.seen.containers.iter().find(|container| container.id == id).map(|container| container.image.clone())
        });
        labels(&[
            ("container", label(stats, names::CONTAINER_NAME)),
            ("id", id),
            ("image", image.as_deref().unwrap_or_default()),
            ("name", id),
            ("namespace", label(stats, names::POD_NAMESPACE)),
            ("pod", label(stats, names::POD_NAME)),
        ])
    };
    type Figure = fn(&ContainerStats) -> f64;
    let families: [(&str, &str, &str, Figure); 5] = [
        ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |stats| {
            cpu_nanos(stats) as f64 / 1e9
        }),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |stats| {
            working_set(stats) as f64
        }),
        ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, including all memory.", |stats| {
            stats.memory.as_ref().map_or(0, |memory| value(&memory.usage_bytes)) as f64
        }),
        ("container_memory_rss", "gauge", "Size of RSS in bytes.", |stats| {
            stats.memory.as_ref().map_or(0, |memory| value(&memory.rss_bytes)) as f64
        }),
        ("container_fs_usage_bytes", "gauge", "Number of bytes that are consumed by the container.", |stats| {
            stats.writable_layer.as_ref().map_or(0, |layer| value(&layer.used_bytes)) as f64
        }),
    ];
    for (name, kind, help, figure) in families {
        out.family(name, kind, help);
        for container in &stats {
            out.sample(&of(container), figure(container));
        }
    }
    network(context, &mut out).await;
    Ok(out.text)
}

/// Pods have networks, containers do not: cAdvisor gives the figures to the sandbox.
async fn network(context: &Context, out: &mut Exposition) {
    let networks = networks(context).await;
    type Figure = fn(&NetworkInterfaceUsage) -> u64;
    let families: [(&str, &str, Figure); 4] = [
        ("container_network_receive_bytes_total", "Cumulative count of bytes received", |i| value(&i.rx_bytes)),
        ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", |i| {
            value(&i.rx_errors)
        }),
        ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |i| value(&i.tx_bytes)),
        ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", |i| {
            value(&i.tx_errors)
        }),
    ];
    for (name, help, figure) in families {
        out.family(name, "counter", help);
        for (uid, network) in &networks {
            let Some(entry) = context.directory.get(uid) else { continue };
            for interface in network.default_interface.iter().chain(&network.interfaces) {
                let sandbox = entry.sandbox().unwrap_or_default();
                let labels = labels(&[
                    ("container", ""),
                    ("id", sandbox),
                    ("image", ""),
                    ("interface", &interface.name),
                    ("name", sandbox),
                    ("namespace", names::namespace(&entry.pod)),
                    ("pod", names::name(&entry.pod)),
                ]);
                out.sample(&labels, figure(interface) as f64);
            }
        }
    }
}

fn cpu_nanos(stats: &ContainerStats) -> u64 {
    stats.cpu.as_ref().map_or(0, |cpu| value(&cpu.usage_core_nano_seconds))
}

fn working_set(stats: &ContainerStats) -> u64 {
    stats.memory.as_ref().map_or(0, |memory| value(&memory.working_set_bytes))
}

/// Text in Prometheus' format, family by family.
#[derive(Default)]
struct Exposition {
    text: String,
    name: String,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
        self.name = name.to_owned();
    }

    fn sample(&mut self, labels: &str, value: f64) {
        writeln!(self.text, "{}{labels} {value}", self.name).ok();
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}
