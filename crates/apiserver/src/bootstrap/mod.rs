//! What a cluster has from the first moment, put right at every start: namespaces, RBAC's roles and bindings, priority
//! classes, flow control, the range of Services, an APIService for each version that we serve, the `kubernetes` Service
//! and the way to us, and what extension servers need to know.
//!
//! Everything is compared before it is written, so a start in a settled cluster writes no more than
//! signs of life. What an administrator
//! added stays; what they took away from the defaults comes back, unless the object says
//! `rbac.authorization.kubernetes.io/autoupdate: "false"`.

mod api_services;
mod data;
mod flow_control;
mod kubernetes_service;
mod living;
mod rbac;
mod service_cidr;
pub(crate) mod write;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{core::Core, service_alloc::ServiceAllocator};

use living::Living;

pub use data::node_rules;

/// Between two attempts while the storage fails.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for identities of servers that are gone.
const LOOK_FOR_THE_DEAD: Duration = Duration::from_secs(3600);

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
    flow_control::reconcile(core, data.priority_levels, data.flow_schemas).await.context("flow control")?;
    service_cidr::reconcile(core).await.context("the range of Services")?;
    api_services::reconcile(core).await.context("APIServices")?;
    let living = living(core);
    living.announce().await.context("the sign of life")?;
    kubernetes_service::reconcile(core, services, &living).await.context("the kubernetes Service")?;
    client_authority(core).await.context("extension-apiserver-authentication")?;
    services.repair().await.context("claims of Services")
}

/// Keeps the `kubernetes` Service in place and leading to the living servers from then on.
pub async fn keep(core: &Arc<Core>, services: &ServiceAllocator) {
    let living = living(core);
    loop {
        if let Err(why) = living.forget_the_dead().await {
            tracing::warn!("identities of servers that are gone stay: {why:#}");
        }
        let kept = kubernetes_service::keep(core, services, &living);
        match tokio::time::timeout(LOOK_FOR_THE_DEAD, kept).await {
            Ok(Err(why)) => tracing::warn!("the kubernetes Service is watched anew: {why:#}"),
            Ok(Ok(())) | Err(_) => continue,
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Leads clients to the other servers, if there are any.
pub async fn leave(core: &Arc<Core>, services: &ServiceAllocator) -> anyhow::Result<()> {
    let living = living(core);
    living.withdraw().await?;
    if living.addresses().await?.is_empty() {
        return Ok(());
    }
    kubernetes_service::reconcile(core, services, &living).await
}

fn living(core: &Core) -> Living<'_> {
    Living::new(core, kubernetes_service::own_address(&core.config))
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
