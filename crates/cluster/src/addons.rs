//! What runs in the cluster rather than beside it: manifests embedded here, applied by `up`.

use anyhow::Context;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

use crate::options::Spec;

/// What our components may do beyond upstream's bootstrap roles.
const ACCESS: &[&str] = &[
    include_str!("../../../deploy/addons/kubelet-api.yaml"),
    include_str!("../../../deploy/addons/cni-agent.yaml"),
    include_str!("../../../deploy/addons/prometheus.yaml"),
];
const DNS: &str = include_str!("../../../deploy/addons/dns.yaml");

/// Applies the roles and bindings.
pub async fn apply_access(client: &kube::Client) -> anyhow::Result<()> {
    for manifest in ACCESS {
        apply(client, manifest).await?;
    }
    Ok(())
}

/// Applies the cluster's DNS.
pub async fn apply_dns(client: &kube::Client, spec: &Spec) -> anyhow::Result<()> {
    apply(client, &dns_manifest(spec)).await
}

fn dns_manifest(spec: &Spec) -> String {
    DNS.replace("10.96.0.10", &spec.dns_address.to_string()).replace("cluster.local", &spec.domain)
}

async fn apply(client: &kube::Client, manifests: &str) -> anyhow::Result<()> {
    for manifest in manifests.split("\n---\n") {
        let object: DynamicObject = serde_saphyr::from_str(manifest).context("an addon's manifest")?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
        create_or_update(client, &name, object).await.with_context(|| format!("applying {kind} {name}"))?;
    }
    Ok(())
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
fn in_a_line(error: kube::Error) -> anyhow::Error {
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
        let dns = dns_manifest(&Spec::new("/bin".into(), 1));
        for manifest in ACCESS.iter().copied().chain([dns.as_str()]).flat_map(|text| text.split("\n---\n")) {
            let object: DynamicObject = serde_saphyr::from_str(manifest).unwrap();
            assert!(object.types.is_some() && object.metadata.name.is_some(), "{manifest}");
        }
    }
}
