//! What runs in the cluster rather than beside it: manifests embedded here, applied by `up` and `init`.

use std::net::Ipv4Addr;

use anyhow::Context;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

/// What our components may do beyond upstream's bootstrap roles.
const ACCESS: &[&str] = &[
    include_str!("../../../deploy/addons/kubelet-api.yaml"),
    include_str!("../../../deploy/addons/cni-agent.yaml"),
    include_str!("../../../deploy/addons/prometheus.yaml"),
];
/// What a machine that joins may do, before it is a node and after.
const JOIN: &str = include_str!("../../../deploy/addons/node-join.yaml");
const DNS: &str = include_str!("../../../deploy/addons/dns.yaml");

/// Applies the roles and bindings.
pub async fn apply_access(client: &kube::Client) -> anyhow::Result<()> {
    for manifest in ACCESS {
        apply(client, manifest).await?;
    }
    Ok(())
}

/// Applies what machines need that join.
pub async fn apply_join(client: &kube::Client) -> anyhow::Result<()> {
    apply(client, JOIN).await
}

/// Applies the cluster's DNS.
pub async fn apply_dns(client: &kube::Client, address: Ipv4Addr, domain: &str) -> anyhow::Result<()> {
    apply(client, &dns_manifest(address, domain)).await
}

fn dns_manifest(address: Ipv4Addr, domain: &str) -> String {
    DNS.replace("10.96.0.10", &address.to_string()).replace("cluster.local", domain)
}

async fn apply(client: &kube::Client, manifests: &str) -> anyhow::Result<()> {
    for manifest in manifests.split("\n---\n") {
        let object: DynamicObject = serde_saphyr::from_str(manifest).context("an addon's manifest")?;
        apply_one(client, object).await?;
    }
    Ok(())
}

/// Applies one object.
pub async fn apply_object(client: &kube::Client, object: serde_json::Value) -> anyhow::Result<()> {
    apply_one(client, serde_json::from_value(object)?).await
}

async fn apply_one(client: &kube::Client, object: DynamicObject) -> anyhow::Result<()> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    create_or_update(client, &name, object).await.with_context(|| format!("applying {kind} {name}"))
}

/// An object that is there is merged into: what is as it should be is not written, and what others have added stays.
async fn create_or_update(client: &kube::Client, name: &str, object: DynamicObject) -> anyhow::Result<()> {
    let types = object.types.clone().context("no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let there = api.get_metadata_opt(name).await.map_err(in_a_line)?;
    let done = match there {
        Some(_) => api.patch(name, &PatchParams::default(), &Patch::Merge(&object)).await,
        None => api.create(&PostParams::default(), &object).await,
    };
    done.map(|_| ()).map_err(in_a_line)
}

/// An answer of the API server by its message alone; the client's own form repeats it three times.
pub fn in_a_line(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_is_an_object_with_a_name() {
        let dns = dns_manifest(Ipv4Addr::new(10, 96, 0, 10), "cluster.local");
        for manifest in ACCESS.iter().copied().chain([dns.as_str(), JOIN]).flat_map(|text| text.split("\n---\n")) {
            let object: DynamicObject = serde_saphyr::from_str(manifest).unwrap();
            assert!(object.types.is_some() && object.metadata.name.is_some(), "{manifest}");
        }
    }
}
