//! The node's status: capacity, addresses, images and conditions. Written when it changes, and every
//! five minutes so that its times show that somebody looks.

use crate::{context::Context, note};
use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
    object::Watched,
    plan::{PatchStyle, Target},
};
use jiff::Timestamp;
use pod_lifecycle::{
    core::{ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus},
    eviction::Condition,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Until the node is ready for the first time, upstream looks this often.
const NOT_READY_YET: Duration = Duration::from_millis(100);
/// A runtime that does not answer for this long makes the node unready.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(30);
const MAX_IMAGES: usize = 50;

/// What does not change while we run.
pub fn base(context: &Context) -> NodeStatus {
    let address = |kind: &str, value: &str| NodeAddress { type_: kind.to_owned(), address: value.to_owned() };
    let mut addresses: Vec<_> = context.host_ips.iter().map(|ip| address("InternalIP", ip)).collect();
    addresses.push(address("Hostname", &context.config.node_name));
    NodeStatus {
        capacity: Some(context.machine.capacity.clone()),
        allocatable: Some(context.machine.allocatable.clone()),
        node_info: Some(context.machine.info.clone()),
        addresses: Some(addresses),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(context.config.file.port) }),
        }),
        ..NodeStatus::default()
    }
}

/// Writes the status for as long as the kubelet runs.
pub async fn run(context: Arc<Context>) {
    let mut reporter = Reporter { last: None, reported: None, runtime_seen: Instant::now(), ready: false };
    let every = context.config.file.node_status_update_frequency.0;
    loop {
        let status = reporter.look(&context).await;
        let due = reporter.reported.is_none_or(|at| at.elapsed() >= context.config.file.node_status_report_frequency.0);
        if due || reporter.last.as_ref() != Some(&comparable(&status)) {
            match write(&context, &status).await {
                Ok(()) => {
                    reporter.last = Some(comparable(&status));
                    reporter.reported = Some(Instant::now());
                }
                Err(error) if error.is_not_found() => super::registration::register(&context).await,
                Err(error) => tracing::warn!("cannot write the node's status: {:#}", anyhow::Error::new(error)),
            }
        }
        let pause = if reporter.ready && reporter.reported.is_some() { every } else { NOT_READY_YET };
        // Who is short of something says so at once.
        tokio::time::timeout(pause, context.pressure.changed.notified()).await.ok();
    }
}

struct Reporter {
    last: Option<Value>,
    reported: Option<Instant>,
    runtime_seen: Instant,
    ready: bool,
}

/// The status without the times of its own making.
fn comparable(status: &NodeStatus) -> Value {
    let mut value = json!(status);
    for condition in value["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastHeartbeatTime"] = Value::Null;
    }
    value
}

async fn write(context: &Context, status: &NodeStatus) -> Result<(), client::Error> {
    let target = Target::named(Node::RESOURCE, "", &context.config.node_name);
    let mut body = json!({"status": status});
    // Addresses would merge by type: ours replace those there are.
    if let Some(addresses) = body["status"]["addresses"].as_array_mut() {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    context.api.patch::<Value>(&target, Some("status"), PatchStyle::Strategic, &body).await.map(drop)
}

impl Reporter {
    async fn look(&mut self, context: &Context) -> NodeStatus {
        let mut status = base(context);
        let known = context.node.get("", &context.config.node_name);
        let old =
            known.as_ref().and_then(|n| n.status.as_ref()).and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        let now = context.clock.now();
        let ready = self.readiness(context).await;
        if ready.met != self.ready {
            let (reason, text) = if ready.met { ("NodeReady", "NodeReady") } else { ("NodeNotReady", "NodeNotReady") };
            context.event(
                note::node(&context.config.node_name),
                reason,
                &format!("Node {} status is now: {text}", context.config.node_name),
            );
        }
        self.ready = ready.met;
        let mut findings = pressure(context);
        findings.push(ready);
        status.conditions = Some(findings.into_iter().map(|f| f.condition(old, now)).collect());
        status.images = Some(images(context).await);
        status
    }

    async fn readiness(&mut self, context: &Context) -> Finding {
        let not_ready = |message: String| Finding { kind: "Ready", met: false, reason: "KubeletNotReady", message };
        match context.runtime.status().await {
            Ok(status) => {
                self.runtime_seen = Instant::now();
                let failed = |kind: &str, what: &str| {
                    let condition = status.conditions.iter().find(|c| c.r#type == kind)?;
                    (!condition.status).then(|| {
                        format!(
                            "container runtime {what} not ready: {kind}=false reason:{} message:{}",
                            condition.reason, condition.message
                        )
                    })
                };
                let failures: Vec<_> = [
                    failed("RuntimeReady", "status check may not have completed yet:"),
                    failed("NetworkReady", "network"),
                ]
                .into_iter()
                .flatten()
                .collect();
                if failures.is_empty() {
                    return Finding {
                        kind: "Ready",
                        met: true,
                        reason: "KubeletReady",
                        message: "kubelet is posting ready status".into(),
                    };
                }
                not_ready(failures.join(", "))
            }
            // A runtime that restarts is back within seconds: its containers never stopped.
            Err(_) if self.ready && self.runtime_seen.elapsed() < RUNTIME_PATIENCE => Finding {
                kind: "Ready",
                met: true,
                reason: "KubeletReady",
                message: "kubelet is posting ready status".into(),
            },
            Err(error) => not_ready(format!("container runtime is down: {error}")),
        }
    }
}

struct Finding {
    kind: &'static str,
    met: bool,
    reason: &'static str,
    message: String,
}

impl Finding {
    fn condition(self, old: &[NodeCondition], now: Timestamp) -> NodeCondition {
        let status = if self.met { "True" } else { "False" };
        let before = old.iter().find(|c| c.type_ == self.kind && c.status == status);
        let since = before.and_then(|c| c.last_transition_time.clone());
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        NodeCondition {
            type_: self.kind.to_owned(),
            status: status.to_owned(),
            reason: Some(self.reason.to_owned()),
            message: Some(self.message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: since.or(Some(Time(now))),
        }
    }
}

/// What the node is short of.
fn pressure(context: &Context) -> Vec<Finding> {
    let conditions = context.pressure.conditions();
    let finding = |condition: Condition, bad, good, what: &str| {
        let met = conditions.contains(&condition);
        let (reason, how) = match (met, condition) {
            (true, Condition::DiskPressure) => (bad, "disk pressure".to_owned()),
            (false, Condition::DiskPressure) => (good, "no disk pressure".to_owned()),
            (true, _) => (bad, format!("insufficient {what} available")),
            (false, _) => (good, format!("sufficient {what} available")),
        };
        Finding { kind: condition.as_str(), met, reason, message: format!("kubelet has {how}") }
    };
    vec![
        finding(Condition::MemoryPressure, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory", "memory"),
        finding(Condition::DiskPressure, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk"),
        finding(Condition::PidPressure, "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID"),
    ]
}

/// The largest images, with the names they are known by.
async fn images(context: &Context) -> Vec<ContainerImage> {
    let mut images = context.runtime.list_images().await.unwrap_or_default();
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    let image = |i: cri::v1::Image| ContainerImage {
        names: Some(i.repo_digests.into_iter().chain(i.repo_tags).take(5).collect()),
        size_bytes: i64::try_from(i.size).ok(),
    };
    images.into_iter().take(MAX_IMAGES).map(image).collect()
}
