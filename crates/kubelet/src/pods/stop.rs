//! Stopping a pod: preStop hooks and stop signals within one deadline that may move nearer, then
//! its sandboxes; and at the very end, removing all of it from the runtime.

use super::report_failure;
use crate::{context::Context, hooks, note};
use futures::future::join_all;
use jiff::Timestamp;
use pod_lifecycle::{
    core::Pod,
    names,
    observed::{ContainerSeen, PodSeen},
    termination,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Stops everything that is alive; false when the runtime could not be made to.
pub async fn everything(
    context: Arc<Context>,
    pod: Arc<Pod>,
    seen: Arc<PodSeen>,
    deadline: watch::Receiver<Timestamp>,
) -> bool {
    let mut good = true;
    for group in termination::order(&pod, &seen) {
        let stops = group.iter().filter_map(|id| seen.containers.iter().find(|c| c.id == *id)).map(|container| {
            let message = format!("Stopping container {}", container.name);
            let (context, pod, mut deadline) = (&context, &pod, deadline.clone());
            async move { one(context, pod, container, &message, &mut deadline).await }
        });
        good &= join_all(stops).await.into_iter().all(|stopped| stopped);
    }
    for sandbox in seen.sandboxes.iter().filter(|s| s.ready) {
        if let Err(error) = context.runtime.stop_pod_sandbox(&sandbox.id).await
            && !error.is_not_found()
        {
            let text = format!(
                "error killing pod: failed to \"KillPodSandbox\" for {:?} with KillPodSandboxError: {error}",
                names::uid(&pod)
            );
            context.warn(note::pod(&pod), "FailedKillPod", &text);
            good = false;
        }
    }
    good
}

/// One container, on its own account: a probe failed, or its spec has changed.
pub async fn container(
    context: &Context,
    pod: &Pod,
    container: &ContainerSeen,
    message: &str,
    grace: Duration,
) -> bool {
    let by = context
        .clock
        .now()
        .saturating_add(jiff::SignedDuration::try_from(grace).unwrap_or_default())
        .unwrap_or(Timestamp::MAX);
    let (_keep, mut deadline) = watch::channel(by);
    one(context, pod, container, message, &mut deadline).await
}

async fn one(
    context: &Context,
    pod: &Pod,
    container: &ContainerSeen,
    message: &str,
    deadline: &mut watch::Receiver<Timestamp>,
) -> bool {
    context.event(note::container(pod, &container.name), "Killing", message);
    let spec = names::all_containers(pod).into_iter().find(|c| c.name == container.name);
    let hook = spec.as_ref().and_then(|s| s.lifecycle.as_ref()).and_then(|l| l.pre_stop.as_ref());
    if let Some(hook) = hook.filter(|_| container.is_running()) {
        let mut work = std::pin::pin!(hooks::run(context, pod, container, spec.as_ref(), hook, &[]));
        loop {
            let left = Duration::try_from(deadline.borrow_and_update().duration_since(context.clock.now()))
                .unwrap_or_default();
            tokio::select! {
                outcome = &mut work => {
                    if let Err(error) = outcome {
                        context.warn(note::container(pod, &container.name), "FailedPreStopHook", &format!("PreStopHook failed: {error}"));
                    }
                    break;
                }
                () = tokio::time::sleep(left) => {
                    let text = format!("PreStopHook of container {} did not finish within the grace period", container.name);
                    context.warn(note::container(pod, &container.name), "FailedPreStopHook", &text);
                    break;
                }
                changed = deadline.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }
    signal(context, container, deadline).await
}

/// Tells the runtime to stop it; once more, with less time, when the deadline moves.
async fn signal(context: &Context, container: &ContainerSeen, deadline: &mut watch::Receiver<Timestamp>) -> bool {
    loop {
        let grace = termination::left(*deadline.borrow_and_update(), context.clock.now());
        let stop = context.runtime.stop_container(&container.id, grace);
        tokio::select! {
            outcome = stop => return match outcome {
                Err(error) if !error.is_not_found() => {
                    tracing::warn!(container = container.name, id = container.id, %error, "cannot stop a container");
                    false
                }
                _ => true,
            },
            Ok(()) = deadline.changed() => {}
        }
    }
}

/// Removes containers, then sandboxes, stopping the latter where needed.
pub async fn remove_all(context: &Context, containers: &[String], sandboxes: &[String]) {
    for id in containers {
        report_failure("remove", id, context.runtime.remove_container(id).await);
    }
    for id in sandboxes {
        report_failure("stop", id, context.runtime.stop_pod_sandbox(id).await);
        report_failure("remove", id, context.runtime.remove_pod_sandbox(id).await);
    }
}
