//! The fake's answers to the calls.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::broadcast::error::RecvError;

use super::{Call, Fake, Life};
use crate::error::{Error, PullFailure, Result};
use crate::reference::normalize;
use crate::runtime::{BoxFuture, CgroupDriver, Change, Event, EventStream, ExecOutput, Runtime, RuntimeVersion};
use crate::v1;

impl Fake {
    /// What every call begins with: the delay that was asked for, then the failure that was asked for.
    async fn enter(&self, call: Call) -> Result<()> {
        let delay = self.control().delays.get(&call).copied();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let mut control = self.control();
        if control.down {
            return Err(Error::Unavailable("the container runtime is down".to_owned()));
        }
        match control.failures.get_mut(&call).and_then(|queue| queue.pop_front()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Ends a container as SIGTERM, and SIGKILL after `grace`, would.
    async fn stop(&self, container: &str, grace: Duration) {
        let Some(life) = self.state().life_if_running(container) else { return };
        match life.on_term {
            Some((time, code)) if time <= grace && !grace.is_zero() => {
                tokio::time::sleep(time).await;
                self.end(container, code, "");
            }
            _ => {
                tokio::time::sleep(grace).await;
                self.end(container, 137, "");
            }
        }
    }

    fn live(&self, container: &str, life: &Life) {
        let Some((after, code)) = life.ends else { return };
        let (fake, container) = (self.clone(), container.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            fake.end(&container, code, "");
        });
    }
}

impl Runtime for Fake {
    fn version(&self) -> BoxFuture<'_, RuntimeVersion> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            Ok(RuntimeVersion { name: "fake".to_owned(), version: "1.0.0".to_owned(), api_version: "v1".to_owned() })
        })
    }

    fn status(&self) -> BoxFuture<'_, v1::RuntimeStatus> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let conditions = ["RuntimeReady", "NetworkReady"].map(|name| v1::RuntimeCondition {
                r#type: name.to_owned(),
                status: true,
                ..Default::default()
            });
            Ok(v1::RuntimeStatus { conditions: conditions.to_vec() })
        })
    }

    fn cgroup_driver(&self) -> BoxFuture<'_, CgroupDriver> {
        Box::pin(async move { self.enter(Call::Read).await.map(|()| CgroupDriver::Cgroupfs) })
    }

    fn run_pod_sandbox<'a>(&'a self, config: v1::PodSandboxConfig, handler: &'a str) -> BoxFuture<'a, String> {
        Box::pin(async move {
            self.enter(Call::RunPodSandbox).await?;
            let id = self.state().run_sandbox(config, handler, self.nanos())?;
            self.tell(&id, Change::Created);
            self.tell(&id, Change::Started);
            Ok(id)
        })
    }

    fn stop_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::StopPodSandbox).await?;
            let containers = self.state().containers_of(sandbox);
            for container in containers {
                self.end(&container, 137, "");
            }
            self.kill_sandbox(sandbox);
            Ok(())
        })
    }

    fn remove_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::RemovePodSandbox).await?;
            let containers = self.state().containers_of(sandbox);
            for container in containers {
                self.end(&container, 137, "");
                self.state().remove_container(&container);
                self.tell(&container, Change::Removed);
            }
            self.kill_sandbox(sandbox);
            if self.state().remove_sandbox(sandbox) {
                self.tell(sandbox, Change::Removed);
            }
            Ok(())
        })
    }

    fn pod_sandbox_status<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, v1::PodSandboxStatus> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().sandbox_status(sandbox)
        })
    }

    fn list_pod_sandboxes(&self, filter: Option<v1::PodSandboxFilter>) -> BoxFuture<'_, Vec<v1::PodSandbox>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            Ok(self.state().sandbox_list(&filter.unwrap_or_default()))
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: v1::ContainerConfig,
        _sandbox_config: v1::PodSandboxConfig,
    ) -> BoxFuture<'a, String> {
        Box::pin(async move {
            self.enter(Call::CreateContainer).await?;
            let id = self.state().create_container(sandbox, config, self.nanos())?;
            self.tell(&id, Change::Created);
            Ok(id)
        })
    }

    fn start_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::StartContainer).await?;
            let config = self.state().startable(container)?;
            let on_start = self.control().on_start.clone();
            let life = on_start(&config);
            self.state().start(container, life.clone(), self.nanos())?;
            self.tell(container, Change::Started);
            self.live(container, &life);
            Ok(())
        })
    }

    fn stop_container<'a>(&'a self, container: &'a str, grace: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::StopContainer).await?;
            self.stop(container, grace).await;
            Ok(())
        })
    }

    fn remove_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::RemoveContainer).await?;
            self.end(container, 137, "");
            if self.state().remove_container(container) {
                self.tell(container, Change::Removed);
            }
            Ok(())
        })
    }

    fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> BoxFuture<'_, Vec<v1::Container>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            Ok(self.state().container_list(&filter.unwrap_or_default()))
        })
    }

    fn container_status<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStatus> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().container_status(container)
        })
    }

    fn update_container_resources<'a>(
        &'a self,
        container: &'a str,
        resources: v1::LinuxContainerResources,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().update_resources(container, resources)
        })
    }

    fn reopen_container_log<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().executable(container).map(drop)
        })
    }

    fn exec_sync<'a>(
        &'a self,
        container: &'a str,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, ExecOutput> {
        Box::pin(async move {
            let entered = self.enter(Call::ExecSync);
            if timeout.is_zero() {
                entered.await?;
            } else {
                let late = |_| Error::Timeout(format!("command {command:?} timed out: timeout {timeout:?} exceeded"));
                tokio::time::timeout(timeout, entered).await.map_err(late)??;
            }
            let config = self.state().executable(container)?;
            let on_exec = self.control().on_exec.clone();
            Ok(on_exec(&config, &command))
        })
    }

    fn exec(&self, request: v1::ExecRequest) -> BoxFuture<'_, String> {
        Box::pin(async move { self.streaming(&request.container_id, "exec").await })
    }

    fn attach(&self, request: v1::AttachRequest) -> BoxFuture<'_, String> {
        Box::pin(async move { self.streaming(&request.container_id, "attach").await })
    }

    fn port_forward(&self, request: v1::PortForwardRequest) -> BoxFuture<'_, String> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().sandbox_status(&request.pod_sandbox_id)?;
            Ok(format!("http://127.0.0.1:0/portforward/{}", request.pod_sandbox_id))
        })
    }

    fn container_stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStats> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let status = self.state().container_status(container)?;
            Ok(stats(status.id, status.metadata, status.labels, status.annotations, self.nanos()))
        })
    }

    fn list_container_stats(&self, filter: Option<v1::ContainerStatsFilter>) -> BoxFuture<'_, Vec<v1::ContainerStats>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let filter = filter.unwrap_or_default();
            let running = v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning.into() };
            let list = self.state().container_list(&v1::ContainerFilter {
                id: filter.id,
                pod_sandbox_id: filter.pod_sandbox_id,
                label_selector: filter.label_selector,
                state: Some(running),
            });
            Ok(list.into_iter().map(|c| stats(c.id, c.metadata, c.labels, c.annotations, self.nanos())).collect())
        })
    }

    fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> BoxFuture<'_, Vec<v1::PodSandboxStats>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let filter = filter.unwrap_or_default();
            let filter =
                v1::PodSandboxFilter { id: filter.id, label_selector: filter.label_selector, ..Default::default() };
            let list = self.state().sandbox_list(&filter);
            let stats = list.into_iter().map(|sandbox| v1::PodSandboxStats {
                attributes: Some(v1::PodSandboxAttributes {
                    id: sandbox.id,
                    metadata: sandbox.metadata,
                    labels: sandbox.labels,
                    annotations: sandbox.annotations,
                }),
                ..Default::default()
            });
            Ok(stats.collect())
        })
    }

    fn list_images(&self) -> BoxFuture<'_, Vec<v1::Image>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            Ok(self.state().image_list())
        })
    }

    fn image_status<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Option<v1::Image>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            Ok(self.state().image(image))
        })
    }

    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        _auth: Option<v1::AuthConfig>,
        _sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> BoxFuture<'a, String> {
        Box::pin(async move {
            self.enter(Call::PullImage).await?;
            let name = normalize(image);
            if !self.control().registry.contains(&name) {
                let message = format!("failed to pull and unpack image {name:?}: {name}: not found");
                return Err(Error::ImagePull { image: image.to_owned(), cause: PullFailure::NotFound, message });
            }
            Ok(self.state().add_image(&name))
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            self.state().remove_image(image);
            Ok(())
        })
    }

    fn image_fs_info(&self) -> BoxFuture<'_, v1::ImageFsInfoResponse> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let used = u64::try_from(self.state().image_list().len()).unwrap_or(0) << 20;
            let usage = v1::FilesystemUsage {
                timestamp: self.nanos(),
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: "/".to_owned() }),
                used_bytes: Some(v1::UInt64Value { value: used }),
                inodes_used: Some(v1::UInt64Value { value: 1 }),
            };
            Ok(v1::ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() })
        })
    }

    /// Takes the file's name for the image's: `busybox.tar` is `busybox`. The file need not exist.
    fn import_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            self.enter(Call::Read).await?;
            let stem = archive.file_stem().and_then(|stem| stem.to_str());
            let name = normalize(stem.ok_or_else(|| Error::Failed("the archive has no name".to_owned()))?);
            self.state().add_image(&name);
            Ok(vec![name])
        })
    }

    fn events(&self) -> EventStream {
        let receiver = self.shared.events.subscribe();
        let later = futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((event, receiver)),
                Err(RecvError::Lagged(_)) => Some((Event::Resync, receiver)),
                Err(RecvError::Closed) => None,
            }
        });
        futures::stream::iter([Event::Resync]).chain(later).boxed()
    }
}

impl Fake {
    async fn streaming(&self, container: &str, what: &str) -> Result<String> {
        self.enter(Call::Read).await?;
        self.state().executable(container)?;
        Ok(format!("http://127.0.0.1:0/{what}/{container}"))
    }
}

fn stats(
    id: String,
    metadata: Option<v1::ContainerMetadata>,
    labels: std::collections::HashMap<String, String>,
    annotations: std::collections::HashMap<String, String>,
    timestamp: i64,
) -> v1::ContainerStats {
    let value = |value| Some(v1::UInt64Value { value });
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes { id, metadata, labels, annotations }),
        cpu: Some(v1::CpuUsage { timestamp, usage_core_nano_seconds: value(0), usage_nano_cores: value(0) }),
        memory: Some(v1::MemoryUsage { timestamp, working_set_bytes: value(1 << 20), ..Default::default() }),
        ..Default::default()
    }
}
