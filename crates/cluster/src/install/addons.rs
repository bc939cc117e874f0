//! What a cluster holds from the first day: roles, how machines join it, and its DNS.

use anyhow::Context;

use super::files::PKI;
use super::record::{Installation, Root};
use crate::{addons, config};

/// The cluster's settings, for machines that join.
pub const SETTINGS: &str = "kogge-cluster";

/// Applies all of it through a server that answers; what is there already stays as it is.
pub async fn apply(client: &kube::Client, root: &std::path::Path) -> anyhow::Result<()> {
    let root = Root(root.to_owned());
    let of = Installation::load(&root)?.context("this machine is in no cluster: `kctl cluster init` makes one")?;
    let ca = root.at(PKI).join("ca.crt");
    let ca = std::fs::read_to_string(&ca).with_context(|| format!("reading {}", ca.display()))?;
    addons::apply_access(client).await?;
    addons::apply_join(client).await?;
    let info = config_map("kube-public", "cluster-info", "kubeconfig", &config::cluster_info(&of.cluster.server, &ca));
    addons::apply_object(client, info).await?;
    let settings = serde_json::to_string(&of.cluster)?;
    addons::apply_object(client, config_map("kube-system", SETTINGS, "cluster.json", &settings)).await?;
    addons::apply_dns(client, of.cluster.dns_address()?, &of.cluster.domain).await
}

fn config_map(namespace: &str, name: &str, key: &str, text: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name},
        "data": {key: text},
    })
}
