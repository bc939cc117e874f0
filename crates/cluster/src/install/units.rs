//! systemd's part: which units a machine runs, and telling systemd so.

use std::path::Path;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::record::{Etcd, Installation, Role};

/// Where `make install` puts units.
const DIRECTORY: &str = "/etc/systemd/system";
/// Programs that units run and that are not ours.
const FOREIGN: [(&str, &str); 2] = [("kogge-etcd.service", "etcd"), ("kogge-containerd.service", "containerd")];

/// The units of a machine, in the order in which a person would start them.
pub fn of(installation: &Installation) -> Vec<&'static str> {
    let mut units = vec![];
    if let Role::ControlPlane { etcd, .. } = &installation.role {
        if *etcd == Etcd::Local {
            units.push("kogge-etcd.service");
        }
        units.extend(["kogge-apiserver.service", "kogge-controller-manager.service", "kogge-scheduler.service"]);
    }
    if installation.node.cri_socket.is_none() {
        units.push("kogge-containerd.service");
    }
    units.extend(["kogge-images.service", "kogge-cni.service", "kogge-kubelet.service", "kogge-proxy.service"]);
    units.push("kogge-renew.timer");
    units
}

/// Whether systemd is what runs this machine.
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Says in one line what is missing before anything is changed.
pub fn require(units: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = units.iter().copied().filter(|unit| !Path::new(DIRECTORY).join(unit).is_file()).collect();
    ensure!(missing.is_empty(), "not in {DIRECTORY}: {} (`make install` puts them there)", missing.join(", "));
    let foreign: Vec<&str> =
        FOREIGN.iter().filter(|(unit, _)| units.contains(unit)).map(|(_, program)| *program).collect();
    crate::machine::require_programs(&foreign)
}

/// Starts units now and at every boot; those that run already read their files anew.
pub async fn start(units: &[&str]) -> anyhow::Result<()> {
    systemctl("daemon-reload", &[]).await?;
    systemctl("enable", units).await?;
    systemctl("restart", units).await
}

/// Stops units and keeps them from coming back. What is stopped already, or was never there, is no error.
pub async fn stop(units: &[&str]) {
    for unit in units.iter().rev() {
        if let Err(error) = systemctl("disable", &["--now", unit]).await {
            tracing::debug!("{error:#}");
        }
    }
}

async fn systemctl(verb: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("systemctl").arg(verb).args(arguments).output().await.context("systemctl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "systemctl {verb} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::installation;
    use super::*;

    #[test]
    fn every_unit_of_a_machine_is_shipped() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
        for unit in of(&installation(Role::ControlPlane { etcd: Etcd::Local, cert_extra_sans: vec![] })) {
            assert!(shipped.join(unit).is_file(), "{unit}");
        }
    }

    #[test]
    fn who_runs_what() {
        let worker = of(&installation(Role::Worker));
        assert!(!worker.contains(&"kogge-apiserver.service") && worker.contains(&"kogge-kubelet.service"));
        let etcd = Etcd::External { servers: vec![] };
        let mut other = installation(Role::ControlPlane { etcd, cert_extra_sans: vec![] });
        other.node.cri_socket = Some("unix:///run/crio/crio.sock".into());
        let units = of(&other);
        assert!(!units.contains(&"kogge-etcd.service") && !units.contains(&"kogge-containerd.service"), "{units:?}");
    }
}
