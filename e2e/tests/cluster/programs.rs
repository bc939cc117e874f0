//! Programs that use the API: the Python `kubernetes` package, and kube-rs.

use std::time::Duration;

use anyhow::ensure;
use e2e::{clients, scenario::Scenario};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("programs::python", python), Scenario::new("programs::kube_rs", crate::kube_rs::run)]
}

fn python(c: &Cluster) -> anyhow::Result<()> {
    let python = clients::python()?;
    let shell = c.shell.clone().with("PYTHON", python);
    let said = shell.ok_within("$PYTHON e2e/tests/cluster/client.py", Duration::from_secs(180))?;
    ensure!(said.trim_end().ends_with("done"), "{said}");
    Ok(())
}
