//! The CRI calls, one for one.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use super::{Containerd, events, import};
use crate::error::{Error, Result};
use crate::runtime::{BoxFuture, CgroupDriver, EventStream, ExecOutput, Runtime, RuntimeVersion};
use crate::v1;

/// Waits for an answer, but not for ever.
async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer.map_err(Error::from)?.into_inner()),
        Err(_) => Err(Error::Timeout(format!("{what}: the container runtime did not answer within {limit:?}"))),
    }
}

/// Unwraps a message that the runtime must have filled in.
fn present<T>(field: Option<T>, what: &str) -> Result<T> {
    field.ok_or_else(|| Error::Failed(format!("{what}: the container runtime's answer is empty")))
}

/// For calls that may be repeated: what is gone already is success.
fn gone_is_done<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn image_spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: image.to_owned(), ..Default::default() }
}

impl Runtime for Containerd {
    fn version(&self) -> BoxFuture<'_, RuntimeVersion> {
        Box::pin(async move {
            let request = v1::VersionRequest { version: "v1".to_owned() };
            let v = within(self.timeout, "Version", self.runtime.clone().version(request)).await?;
            Ok(RuntimeVersion { name: v.runtime_name, version: v.runtime_version, api_version: v.runtime_api_version })
        })
    }

    fn status(&self) -> BoxFuture<'_, v1::RuntimeStatus> {
        Box::pin(async move {
            let request = v1::StatusRequest { verbose: false };
            present(within(self.timeout, "Status", self.runtime.clone().status(request)).await?.status, "Status")
        })
    }

    fn cgroup_driver(&self) -> BoxFuture<'_, CgroupDriver> {
        Box::pin(async move {
            let mut client = self.runtime.clone();
            let config =
                within(self.timeout, "RuntimeConfig", client.runtime_config(v1::RuntimeConfigRequest {})).await?;
            Ok(match present(config.linux, "RuntimeConfig")?.cgroup_driver() {
                v1::CgroupDriver::Systemd => CgroupDriver::Systemd,
                v1::CgroupDriver::Cgroupfs => CgroupDriver::Cgroupfs,
            })
        })
    }

    fn run_pod_sandbox<'a>(&'a self, config: v1::PodSandboxConfig, handler: &'a str) -> BoxFuture<'a, String> {
        Box::pin(async move {
            let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
            // Twice the time, as upstream gives it: the network is made within this call.
            let answer =
                within(self.timeout * 2, "RunPodSandbox", self.runtime.clone().run_pod_sandbox(request)).await?;
            Ok(answer.pod_sandbox_id)
        })
    }

    fn stop_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.to_owned() };
            gone_is_done(within(self.timeout, "StopPodSandbox", self.runtime.clone().stop_pod_sandbox(request)).await)
        })
    }

    fn remove_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.to_owned() };
            gone_is_done(
                within(self.timeout, "RemovePodSandbox", self.runtime.clone().remove_pod_sandbox(request)).await,
            )
        })
    }

    fn pod_sandbox_status<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, v1::PodSandboxStatus> {
        Box::pin(async move {
            let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.to_owned(), verbose: false };
            let answer =
                within(self.timeout, "PodSandboxStatus", self.runtime.clone().pod_sandbox_status(request)).await?;
            present(answer.status, "PodSandboxStatus")
        })
    }

    fn list_pod_sandboxes(&self, filter: Option<v1::PodSandboxFilter>) -> BoxFuture<'_, Vec<v1::PodSandbox>> {
        Box::pin(async move {
            let request = v1::ListPodSandboxRequest { filter };
            Ok(within(self.timeout, "ListPodSandbox", self.runtime.clone().list_pod_sandbox(request)).await?.items)
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> BoxFuture<'a, String> {
        Box::pin(async move {
            let request = v1::CreateContainerRequest {
                pod_sandbox_id: sandbox.to_owned(),
                config: Some(config),
                sandbox_config: Some(sandbox_config),
            };
            let answer =
                within(self.timeout, "CreateContainer", self.runtime.clone().create_container(request)).await?;
            Ok(answer.container_id)
        })
    }

    fn start_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::StartContainerRequest { container_id: container.to_owned() };
            within(self.timeout, "StartContainer", self.runtime.clone().start_container(request)).await.map(drop)
        })
    }

    fn stop_container<'a>(&'a self, container: &'a str, grace: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
            let request = v1::StopContainerRequest { container_id: container.to_owned(), timeout };
            let limit = self.timeout.saturating_add(grace);
            gone_is_done(within(limit, "StopContainer", self.runtime.clone().stop_container(request)).await)
        })
    }

    fn remove_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::RemoveContainerRequest { container_id: container.to_owned() };
            gone_is_done(within(self.timeout, "RemoveContainer", self.runtime.clone().remove_container(request)).await)
        })
    }

    fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> BoxFuture<'_, Vec<v1::Container>> {
        Box::pin(async move {
            let request = v1::ListContainersRequest { filter };
            Ok(within(self.timeout, "ListContainers", self.runtime.clone().list_containers(request)).await?.containers)
        })
    }

    fn container_status<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStatus> {
        Box::pin(async move {
            let request = v1::ContainerStatusRequest { container_id: container.to_owned(), verbose: false };
            let answer =
                within(self.timeout, "ContainerStatus", self.runtime.clone().container_status(request)).await?;
            present(answer.status, "ContainerStatus")
        })
    }

    fn update_container_resources<'a>(
        &'a self,
        container: &'a str,
        resources: v1::LinuxContainerResources,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::UpdateContainerResourcesRequest {
                container_id: container.to_owned(),
                linux: Some(resources),
                ..Default::default()
            };
            let mut client = self.runtime.clone();
            within(self.timeout, "UpdateContainerResources", client.update_container_resources(request)).await.map(drop)
        })
    }

    fn reopen_container_log<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::ReopenContainerLogRequest { container_id: container.to_owned() };
            within(self.timeout, "ReopenContainerLog", self.runtime.clone().reopen_container_log(request))
                .await
                .map(drop)
        })
    }

    fn exec_sync<'a>(
        &'a self,
        container: &'a str,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, ExecOutput> {
        Box::pin(async move {
            let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
            let request = v1::ExecSyncRequest { container_id: container.to_owned(), cmd: command, timeout: seconds };
            let limit = if timeout.is_zero() { Duration::MAX } else { self.timeout.saturating_add(timeout) };
            let answer =
                within(limit, "ExecSync", self.runtime.clone().exec_sync(request)).await.map_err(
                    |error| match error {
                        Error::Failed(message) if message.contains("timeout") && message.contains("exceeded") => {
                            Error::Timeout(message)
                        }
                        other => other,
                    },
                )?;
            Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
        })
    }

    fn exec(&self, request: v1::ExecRequest) -> BoxFuture<'_, String> {
        Box::pin(async move { Ok(within(self.timeout, "Exec", self.runtime.clone().exec(request)).await?.url) })
    }

    fn attach(&self, request: v1::AttachRequest) -> BoxFuture<'_, String> {
        Box::pin(async move { Ok(within(self.timeout, "Attach", self.runtime.clone().attach(request)).await?.url) })
    }

    fn port_forward(&self, request: v1::PortForwardRequest) -> BoxFuture<'_, String> {
        Box::pin(async move {
            Ok(within(self.timeout, "PortForward", self.runtime.clone().port_forward(request)).await?.url)
        })
    }

    fn container_stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStats> {
        Box::pin(async move {
            let request = v1::ContainerStatsRequest { container_id: container.to_owned() };
            let answer = within(self.timeout, "ContainerStats", self.runtime.clone().container_stats(request)).await?;
            present(answer.stats, "ContainerStats")
        })
    }

    fn list_container_stats(&self, filter: Option<v1::ContainerStatsFilter>) -> BoxFuture<'_, Vec<v1::ContainerStats>> {
        Box::pin(async move {
            let request = v1::ListContainerStatsRequest { filter };
            let mut client = self.runtime.clone();
            Ok(within(self.timeout, "ListContainerStats", client.list_container_stats(request)).await?.stats)
        })
    }

    fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> BoxFuture<'_, Vec<v1::PodSandboxStats>> {
        Box::pin(async move {
            let request = v1::ListPodSandboxStatsRequest { filter };
            let mut client = self.runtime.clone();
            Ok(within(self.timeout, "ListPodSandboxStats", client.list_pod_sandbox_stats(request)).await?.stats)
        })
    }

    fn list_images(&self) -> BoxFuture<'_, Vec<v1::Image>> {
        Box::pin(async move {
            let request = v1::ListImagesRequest { filter: None };
            Ok(within(self.timeout, "ListImages", self.image.clone().list_images(request)).await?.images)
        })
    }

    fn image_status<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Option<v1::Image>> {
        Box::pin(async move {
            let request = v1::ImageStatusRequest { image: Some(image_spec(image)), verbose: false };
            Ok(within(self.timeout, "ImageStatus", self.image.clone().image_status(request)).await?.image)
        })
    }

    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> BoxFuture<'a, String> {
        Box::pin(async move {
            let request = v1::PullImageRequest { image: Some(image_spec(image)), auth, sandbox_config };
            match self.image.clone().pull_image(request).await {
                Ok(answer) => Ok(answer.into_inner().image_ref),
                Err(status) => Err(match Error::from(status) {
                    error @ Error::Unavailable(_) => error,
                    error => Error::image_pull(image, error.to_string()),
                }),
            }
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let request = v1::RemoveImageRequest { image: Some(image_spec(image)) };
            gone_is_done(within(self.timeout, "RemoveImage", self.image.clone().remove_image(request)).await)
        })
    }

    fn image_fs_info(&self) -> BoxFuture<'_, v1::ImageFsInfoResponse> {
        Box::pin(async move {
            within(self.timeout, "ImageFsInfo", self.image.clone().image_fs_info(v1::ImageFsInfoRequest {})).await
        })
    }

    fn import_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Vec<String>> {
        Box::pin(import::import(self, archive))
    }

    fn events(&self) -> EventStream {
        events::stream(self.clone())
    }
}
