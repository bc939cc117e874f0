//! Pulls from a real registry on loopback, and what a user sees when a pull fails.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{built, scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("pulls::from_a_registry", from_registry),
        Scenario::new("pulls::an_image_that_is_not_there", missing),
    ]
}

/// Ends its process when it goes out of scope.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn registry(c: &Cluster) -> anyhow::Result<Registry> {
    let dir = c.dir.join("e2e-registry");
    std::fs::create_dir_all(&dir)?;
    let config = dir.join("config.yml");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:5055'}}\n",
        dir.join("data").display()
    );
    std::fs::write(&config, text)?;
    let child =
        Command::new("docker-registry").arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let registry = Registry(child.context("cannot run docker-registry")?);
    wait::until("the registry answers", Duration::from_secs(10), || {
        c.shell.ok("curl -sf http://127.0.0.1:5055/v2/").map(drop)
    })?;
    Ok(registry)
}

fn from_registry(c: &Cluster) -> anyhow::Result<()> {
    let _registry = registry(c)?;
    let archive = built::root().join("out/images/hello.tar");
    c.shell.ok(&format!("hack/push-image.py {} 127.0.0.1:5055 pulled/hello:v1", archive.display()))?;
    let node = c.shell.ok("$KCTL get nodes -o 'jsonpath={.items[0].metadata.name}'")?;
    // Loopback is the first node's own.
    c.shell.ok(&format!("kubectl run pulled --image=127.0.0.1:5055/pulled/hello:v1 --image-pull-policy=Always --overrides='{{\"spec\":{{\"nodeName\":\"{node}\"}}}}'"))?;
    c.shell.ok("kubectl wait pod/pulled --for=condition=Ready --timeout=60s")?;
    let events = c.shell.ok("kubectl get events --field-selector involvedObject.name=pulled")?;
    for reason in ["Pulling", "Pulled", "Created", "Started"] {
        ensure!(events.contains(reason), "{events}");
    }
    c.shell.ok("kubectl delete pod pulled --grace-period=1").map(drop)
}

fn missing(c: &Cluster) -> anyhow::Result<()> {
    let _registry = registry(c)?;
    let node = c.shell.ok("$KCTL get nodes -o 'jsonpath={.items[0].metadata.name}'")?;
    c.shell.ok(&format!(
        "kubectl run absent --image=127.0.0.1:5055/nothing:v1 --overrides='{{\"spec\":{{\"nodeName\":\"{node}\"}}}}'"
    ))?;
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        wait::until(reason, Duration::from_secs(60), || {
            let seen = c
                .shell
                .ok("kubectl get pod absent -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}'")?;
            ensure!(seen == reason, "{seen}");
            Ok(())
        })?;
    }
    let events = c.shell.ok("kubectl get events --field-selector involvedObject.name=absent")?;
    ensure!(events.contains("Failed to pull image") && events.contains("Back-off pulling image"), "{events}");
    c.shell.ok("kubectl delete pod absent --grace-period=1").map(drop)
}
