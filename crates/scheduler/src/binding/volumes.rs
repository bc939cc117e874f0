//! What is written for a pod's claims before the pod is bound: volumes are reserved for claims, claims are told the
//! node; then the volume controller is waited for, which binds the two.

use std::time::Duration;

use anyhow::{Context, bail};
use api_types::{
    object::Watched,
    plan::{PatchStyle, Target},
};
use client::Api;
use scheduling::{
    Placement,
    storage::{
        Key,
        object::{Claim, Volume},
    },
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Between two looks at a claim that is being bound; it grows to the second one.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const SLOWEST_LOOK: Duration = Duration::from_secs(2);

/// # Errors
/// When something cannot be written, or the claims are not bound in time.
pub async fn prepare(api: &Api, placement: &Placement) -> anyhow::Result<()> {
    let work = &placement.volumes;
    if work.is_empty() {
        return Ok(());
    }
    for (volume, claim) in &work.bind {
        reserve(api, volume, claim).await.with_context(|| format!("binding volume {volume:?}"))?;
    }
    for claim in &work.provision {
        select_node(api, claim, &placement.node)
            .await
            .with_context(|| format!("provisioning for claim {:?}", claim.1))?;
    }
    let deadline = Instant::now() + Duration::from_secs(placement.bind_timeout_seconds);
    let claims = work.bind.iter().map(|(_, claim)| claim).chain(&work.provision);
    for claim in claims {
        wait_bound(api, claim, &placement.node, deadline).await?;
    }
    Ok(())
}

async fn current(api: &Api, (namespace, name): &Key) -> anyhow::Result<Claim> {
    let claim = api.get::<Claim>(namespace, name).await?;
    claim.with_context(|| format!("persistentvolumeclaim {name:?} not found"))
}

async fn reserve(api: &Api, name: &str, key: &Key) -> anyhow::Result<()> {
    let claim = current(api, key).await?;
    let volume = api.get::<Volume>("", name).await?.context("it is gone")?;
    if let Some(reference) = &volume.spec.claim_ref
        && !reference.uid.is_empty()
    {
        if *reference.uid == *claim.metadata.uid {
            return Ok(());
        }
        bail!("it has been bound to another claim");
    }
    let body = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}},
        "spec": {"claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        }},
    });
    // Only if nobody has written it since it was looked at.
    let target = Target::at(Volume::RESOURCE, &volume).unchanged(&volume.metadata.resource_version);
    api.patch::<Value>(&target, None, PatchStyle::Merge, &body).await?;
    Ok(())
}

async fn select_node(api: &Api, key: &Key, node: &str) -> anyhow::Result<()> {
    let claim = current(api, key).await?;
    if claim.metadata.annotations.selected_node.as_deref() == Some(node) {
        return Ok(());
    }
    let body = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}});
    let target = Target::at(Claim::RESOURCE, &claim).unchanged(&claim.metadata.resource_version);
    api.patch::<Value>(&target, None, PatchStyle::Merge, &body).await?;
    Ok(())
}

async fn wait_bound(api: &Api, key: &Key, node: &str, deadline: Instant) -> anyhow::Result<()> {
    let mut pause = FIRST_LOOK;
    let mut asked_for = false;
    loop {
        let claim = current(api, key).await?;
        if claim.metadata.annotations.bind_completed.is_some() && !claim.spec.volume_name.is_empty() {
            return Ok(());
        }
        let selected = claim.metadata.annotations.selected_node.as_deref();
        if asked_for && selected != Some(node) {
            // The provisioner gives the node back when it cannot make the volume there.
            bail!("selectedNode annotation reset for PVC {:?}", key.1);
        }
        asked_for |= selected == Some(node);
        if Instant::now() >= deadline {
            bail!("timed out waiting for the claim {:?} to be bound", key.1);
        }
        sleep(pause).await;
        pause = (pause * 2).min(SLOWEST_LOOK);
    }
}
