//! What a cluster has from the first moment, put right at every start: namespaces, RBAC's roles and bindings, priority
//! classes, the `kubernetes` Service and the way to us, and what extension servers need to know.
//!
//! Everything is compared before it is written, so a start of a settled cluster writes nothing. What an administrator
//! added stays; what they took away from the defaults comes back, unless the object says
//! `rbac.authorization.kubernetes.io/autoupdate: "false"`.

mod data;
mod kubernetes_service;
mod rbac;
mod write;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{core::Core, service_alloc::ServiceAllocator};

pub use data::node_rules;

/// Between two attempts while the storage fails.
const RETRY: Duration = Duration::from_secs(1);

/// Puts everything in place; done when it is. Safe to run on several servers at once.
pub async fn run(core: &Arc<Core>, services: &ServiceAllocator) -> anyhow::Result<()> {
    let data = data::Data::read();
    for namespace in data.namespaces {
        write::ensure(core, "namespaces", "v1", namespace, |_| None).await.context("system namespaces")?;
    }
    rbac::reconcile(core, data.rbac).await.context("RBAC's default roles")?;
    for class in data.priority_classes {
        write::ensure(core, "priorityclasses", "scheduling.k8s.io/v1", class, |_| None)
            .await
            .context("priority classes")?;
    }
    kubernetes_service::reconcile(core, services).await.context("the kubernetes Service")?;
    client_authority(core).await.context("extension-apiserver-authentication")?;
    services.repair().await.context("claims of Services")
}

/// Keeps the `kubernetes` Service in place from then on.
pub async fn keep(core: &Arc<Core>, services: &ServiceAllocator) {
    loop {
        if let Err(why) = kubernetes_service::keep(core, services).await {
            tracing::warn!("the kubernetes Service is watched anew: {why:#}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tells extension servers which authority signs the certificates of clients.
async fn client_authority(core: &Core) -> anyhow::Result<()> {
    let Some(path) = &core.config.client_ca_file else { return Ok(()) };
    let authority = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = json!({
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": authority},
    });
    let merge = |old: &Value| {
        let mut new = old.clone();
        new["data"]["client-ca-file"] = json!(authority);
        Some(new)
    };
    write::ensure(core, "configmaps", "v1", object, merge).await
}

#[cfg(test)]
mod tests;
