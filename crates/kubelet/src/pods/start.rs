//! Carries out what [`pod_lifecycle::actions`] decided: kills, then the sandbox and the volumes side
//! by side, then containers in their order. Waits give way to a cancellation; what was begun with the
//! runtime is finished.

use super::{
    report::{Report, Started},
    resize::Change,
    stop,
};
use crate::{context::Context, hooks, note, spec, volumes};
use jiff::Timestamp;
use parking_lot::Mutex;
use pod_lifecycle::{
    PodSeen,
    actions::{Actions, KillReason, Sandbox, Start, backoff_key},
    backoff::Backoffs,
    core::{Container, Pod},
    downward, env, names, security, support, termination,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use volumes::{Mounted, objects::Objects};

/// Everything one run needs.
pub struct Job {
    pub context: Arc<Context>,
    pub pod: Arc<Pod>,
    pub seen: Arc<PodSeen>,
    pub actions: Actions,
    pub changes: Vec<Change>,
    pub objects: Arc<Objects>,
    pub backoffs: Arc<Mutex<Backoffs>>,
    pub cancel: CancellationToken,
    pub reports: mpsc::Sender<Report>,
}

/// A container that did not start: its waiting reason, message, and when to try again.
struct Failure {
    reason: &'static str,
    message: String,
    until: Option<Timestamp>,
}

fn failure(reason: &'static str, message: impl ToString) -> Failure {
    Failure { reason, message: message.to_string(), until: None }
}

impl Job {
    pub async fn run(self) -> Started {
        let mut outcome = Started::default();
        self.kill().await;
        outcome.resized = self.resize().await;
        outcome.failed = outcome.resized.iter().any(|(_, resized)| resized.is_err());
        for sandbox in &self.actions.stop_sandboxes {
            if let Err(error) = self.context.runtime.stop_pod_sandbox(sandbox).await
                && !error.is_not_found()
            {
                tracing::warn!(%error, sandbox, "cannot stop an old sandbox");
                outcome.failed = true;
                return outcome;
            }
        }
        if self.actions.sandbox == Sandbox::None {
            return outcome;
        }
        let (sandbox, mounted) = tokio::join!(self.sandbox(), self.volumes());
        let mounted = match mounted {
            Ok(mounted) => mounted,
            Err(error) => {
                self.context.warn(note::pod(&self.pod), "FailedMount", &error);
                outcome.failed = true;
                return outcome;
            }
        };
        outcome.renew_at = mounted.renew_at;
        let (sandbox, config, ips) = match sandbox {
            Ok(Some(ready)) => ready,
            Ok(None) => return outcome,
            Err(error) => {
                self.context.warn(
                    note::pod(&self.pod),
                    "FailedCreatePodSandBox",
                    &format!("Failed to create pod sandbox: {error}"),
                );
                outcome.failed = true;
                return outcome;
            }
        };
        let all = names::all_containers(&self.pod);
        for (index, start) in self.actions.start.iter().enumerate() {
            if self.cancel.is_cancelled() {
                break;
            }
            let Some(container) = all.iter().find(|c| c.name == start.name) else { continue };
            let last = index + 1 == self.actions.start.len();
            let begun = self.container(container, start, &sandbox, &config, &ips, &mounted, last).await;
            if let Err(failure) = begun {
                let regarding = note::container(&self.pod, &container.name);
                let text = match failure.reason {
                    "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                        format!("Error: {}", failure.reason)
                    }
                    _ => format!("Error: {}", failure.message),
                };
                if failure.reason != "PostStartHookError" {
                    self.context.warn(regarding, "Failed", &text);
                }
                outcome.again_at = match (outcome.again_at, failure.until) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                outcome.failed |= failure.until.is_none();
                outcome.waiting.insert(container.name.clone(), (failure.reason.to_owned(), failure.message));
            }
        }
        outcome
    }

    async fn kill(&self) {
        let kills = self.actions.kill.iter().filter_map(|kill| {
            let container = self.seen.containers.iter().find(|c| c.id == kill.id)?;
            let spec = names::all_containers(&self.pod).into_iter().find(|c| c.name == kill.name)?;
            let restarts = pod_lifecycle::actions::will_restart(&self.pod, &spec, 137);
            let grace = termination::probe_grace(&self.pod, &kill.name, kill.why == KillReason::Startup);
            let message = kill.why.message(&kill.name, restarts);
            Some(async move { stop::container(&self.context, &self.pod, container, &message, grace).await })
        });
        futures::future::join_all(kills).await;
    }

    /// Brings the content of mounted volumes up to date.
    pub async fn refresh_volumes(&self) -> Result<(), String> {
        let mounted = self.volumes().await?;
        if mounted.renew_at.is_some() {
            drop(self.reports.send(Report::Renew(mounted.renew_at)).await);
        }
        Ok(())
    }

    async fn volumes(&self) -> Result<Mounted, String> {
        if let Some(reason) = support::unsupported(&self.pod).into_iter().next() {
            return Err(reason);
        }
        std::fs::create_dir_all(self.context.paths.pod(names::uid(&self.pod))).map_err(|e| e.to_string())?;
        let synced = self.cancel.run_until_cancelled(self.objects.synced()).await;
        synced.unwrap_or_else(|| Err("the pod is being deleted".into()))?;
        volumes::ensure(&self.context, &self.pod, &self.objects).await
    }

    /// The sandbox's id, configuration and addresses; `None` when the pod is no longer wanted.
    async fn sandbox(&self) -> cri::Result<Option<(String, cri::v1::PodSandboxConfig, Vec<String>)>> {
        let failed = |error: String| cri::Error::Failed(error);
        match &self.actions.sandbox {
            Sandbox::None => Ok(None),
            Sandbox::Keep(id) => {
                let found = self.seen.sandboxes.iter().find(|s| s.id == *id);
                let config =
                    spec::sandbox::config(&self.context, &self.pod, found.map_or(0, |s| s.attempt)).map_err(failed)?;
                Ok(Some((id.clone(), config, found.map(|s| s.ips.clone()).unwrap_or_default())))
            }
            Sandbox::Create { attempt } => {
                let config = spec::sandbox::config(&self.context, &self.pod, *attempt).map_err(failed)?;
                let handler = self.runtime_handler().await.map_err(failed)?;
                if let Some(cgroups) = &self.context.cgroups {
                    cgroups.ensure_pod(&self.pod).map_err(|e| failed(format!("{e:#}")))?;
                }
                std::fs::create_dir_all(self.context.paths.pod_logs(&self.pod)).map_err(|e| failed(e.to_string()))?;
                let Some(Ok(_slot)) = self.cancel.run_until_cancelled(self.context.sandboxes.acquire()).await else {
                    return Ok(None);
                };
                let id = self.context.runtime.run_pod_sandbox(config.clone(), &handler).await?;
                let status = self.context.runtime.pod_sandbox_status(&id).await?;
                let network = status.network.unwrap_or_default();
                let mut ips = vec![network.ip];
                ips.extend(network.additional_ips.into_iter().map(|a| a.ip));
                ips.retain(|ip| !ip.is_empty() && !names::host_network(&self.pod));
                Ok(Some((id, config, ips)))
            }
        }
    }

    async fn runtime_handler(&self) -> Result<String, String> {
        use api_types::k8s_openapi::api::node::v1::RuntimeClass;
        let Some(name) = self.pod.spec.as_ref().and_then(|s| s.runtime_class_name.as_deref()).filter(|n| !n.is_empty())
        else {
            return Ok(String::new());
        };
        match self.context.api.get::<RuntimeClass>("", name).await {
            Ok(Some(class)) => Ok(class.handler),
            Ok(None) => Err(format!(
                "failed to get sandbox runtime: no runtime for {name:?} is configured: runtimeclass.node.k8s.io {name:?} not found"
            )),
            Err(error) => Err(format!("failed to get sandbox runtime: {error}")),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one step of one function, split for reading")]
    async fn container(
        &self,
        container: &Container,
        start: &Start,
        sandbox: &str,
        sandbox_config: &cri::v1::PodSandboxConfig,
        ips: &[String],
        mounted: &Mounted,
        last: bool,
    ) -> Result<(), Failure> {
        let (context, pod) = (&*self.context, &*self.pod);
        let secrets = self.objects.pull_secrets();
        let pull = context.images.ensure(context, pod, container, &secrets);
        let Some(image) = self.cancel.run_until_cancelled(pull).await else { return Ok(()) };
        let image = image.map_err(|m| Failure { reason: m.reason, message: m.message, until: m.until })?;
        let config = self.config(container, start, image, ips, mounted).await?;
        std::fs::create_dir_all(context.paths.pod_logs(pod).join(&container.name))
            .map_err(|e| failure("CreateContainerError", e))?;
        if self.cancel.is_cancelled() {
            return Ok(());
        }
        let created = context.runtime.create_container(sandbox, config, sandbox_config.clone()).await;
        let id = created.map_err(|e| failure("CreateContainerError", e))?;
        let regarding = note::container(pod, &container.name);
        context.event(regarding.clone(), "Created", "Container created");
        if let Some(failed) = start.after {
            self.backoffs.lock().tried(&backoff_key(container), failed, context.clock.now());
        }
        context.runtime.start_container(&id).await.map_err(|e| failure("RunContainerError", e))?;
        context.event(regarding.clone(), "Started", "Container started");
        self.link_log(container, start.attempt, &id);
        let hook = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
        if hook.is_some() || !last {
            // The worker may have ended meanwhile; then nobody needs to know.
            drop(self.reports.send(Report::Progress).await);
        }
        if let Some(hook) = hook {
            let seen = started(container, start, sandbox, &id, context.clock.now());
            let ran =
                self.cancel.run_until_cancelled(hooks::run(context, pod, &seen, Some(container), hook, ips)).await;
            if let Some(Err(error)) = ran {
                context.warn(regarding, "FailedPostStartHook", &format!("PostStartHook failed: {error}"));
                let grace = termination::probe_grace(pod, &container.name, false);
                stop::container(context, pod, &seen, "FailedPostStartHook", grace).await;
                return Err(failure("PostStartHookError", error));
            }
        }
        Ok(())
    }

    async fn config(
        &self,
        container: &Container,
        start: &Start,
        image: String,
        ips: &[String],
        mounted: &Mounted,
    ) -> Result<cri::v1::ContainerConfig, Failure> {
        let (context, pod) = (&*self.context, &*self.pod);
        let wrong = |error: String| failure("CreateContainerConfigError", error);
        if security::effective(pod, container).run_as_non_root {
            let found = context.runtime.image_status(&image).await.ok().flatten();
            let user = match found {
                Some(image) if image.uid.is_some() => security::ImageUser::Id(image.uid.map_or(0, |u| u.value)),
                Some(image) if !image.username.is_empty() => security::ImageUser::Name(image.username),
                _ => security::ImageUser::Unset,
            };
            security::check_non_root(pod, container, &user).map_err(wrong)?;
        }
        // What the node itself runs does not wait for the API.
        if !names::is_static(pod) {
            context.services.synced().await;
        }
        let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
        let services = env::service_variables(&context.services(), names::namespace(pod), links);
        let pod_ips = if names::host_network(pod) { &context.host_ips } else { ips };
        let node = downward::Node { host_ips: &context.host_ips, pod_ips, allocatable: &context.machine.allocatable };
        let env =
            env::environment(pod, container, &*self.objects, &services, &node).map_err(|e| wrong(e.to_string()))?;
        let mounts = spec::mounts::mounts(context, pod, container, mounted, &env, ips, start.attempt)
            .map_err(|e| wrong(format!("{e:#}")))?;
        let targets = pod.spec.as_ref().and_then(|s| s.ephemeral_containers.as_deref()).unwrap_or_default();
        let target = targets.iter().find(|e| e.name == container.name).and_then(|e| e.target_container_name.as_deref());
        let target = target.and_then(|name| self.seen.container(name)).map(|c| c.id.clone());
        let parts =
            spec::container::Parts { pod, container, attempt: start.attempt, image_ref: image, env, mounts, target };
        Ok(spec::container::config(context, parts))
    }

    fn link_log(&self, container: &Container, attempt: u32, id: &str) {
        let log = self.context.paths.pod_logs(&self.pod).join(names::log_file(&container.name, attempt));
        let link = self.context.paths.container_link(&self.pod, &container.name, id);
        let made = std::fs::create_dir_all(self.context.paths.container_links())
            .and_then(|()| std::os::unix::fs::symlink(log, &link));
        if let Err(error) = made {
            tracing::debug!(%error, link = %link.display(), "cannot link a container's log");
        }
    }
}

/// The container as it is right after its start.
fn started(
    container: &Container,
    start: &Start,
    sandbox: &str,
    id: &str,
    now: Timestamp,
) -> pod_lifecycle::ContainerSeen {
    pod_lifecycle::ContainerSeen {
        id: id.to_owned(),
        name: container.name.clone(),
        attempt: start.attempt,
        sandbox_id: sandbox.to_owned(),
        phase: pod_lifecycle::ContainerPhase::Running,
        created_at: now,
        started_at: Some(now),
        finished_at: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: String::new(),
        image_id: String::new(),
        hash: names::container_hash(container),
        log_path: String::new(),
        made_with: container.resources.clone(),
    }
}
