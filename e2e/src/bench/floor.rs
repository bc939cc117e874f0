//! The runtime's own floor: sandbox, container and start through CRI alone, on the cluster's containerd.

use std::{path::Path, time::Instant};

use cri::{Runtime, containerd::Containerd, v1};
use serde_json::Value;

use super::report;

const IMAGE: &str = "docker.io/kogge/pause:latest";

/// Sandboxes with one container, one after the other; the time until the container runs.
pub async fn run(socket: &Path, count: usize) -> anyhow::Result<()> {
    let runtime = Containerd::new(socket);
    let mut samples = vec![];
    for n in 0..count {
        let sandbox_config = sandbox(n);
        let begun = Instant::now();
        let sandbox = runtime.run_pod_sandbox(sandbox_config.clone(), "").await?;
        let container = runtime.create_container(&sandbox, container(), sandbox_config).await?;
        runtime.start_container(&container).await?;
        samples.push(begun.elapsed());
        runtime.stop_pod_sandbox(&sandbox).await?;
        runtime.remove_pod_sandbox(&sandbox).await?;
    }
    let figures: Value = report::percentiles(&mut samples);
    report::line("runtime's floor, one after the other", figures);
    Ok(())
}

fn sandbox(n: usize) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: format!("floor-{n}"),
            uid: format!("floor-{n}"),
            namespace: "bench".into(),
            attempt: 0,
        }),
        hostname: format!("floor-{n}"),
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..v1::PodSandboxConfig::default()
    }
}

fn container() -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: IMAGE.into(), ..v1::ImageSpec::default() }),
        linux: Some(v1::LinuxContainerConfig::default()),
        ..v1::ContainerConfig::default()
    }
}
