//! The node's heartbeat: a Lease in `kube-node-lease`, renewed every quarter of its duration.

use crate::context::Context;
use api_types::{
    k8s_openapi::{
        api::coordination::v1::{Lease, LeaseSpec},
        apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference},
    },
    object::Watched,
    plan::Target,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

const NAMESPACE: &str = "kube-node-lease";
/// Between tries when a renewal fails.
const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(7);

pub async fn run(context: Arc<Context>) {
    let seconds = context.config.file.node_lease_duration_seconds;
    let every = Duration::from_secs_f64(f64::from(seconds) / 4.0);
    let mut known: Option<Lease> = None;
    let mut backoff = client::Backoff::new(RETRY, LONGEST_RETRY);
    let mut failures = 0;
    loop {
        match renew(&context, known.take(), seconds).await {
            Ok(lease) => {
                known = Some(lease);
                failures = 0;
                backoff.reset();
                tokio::time::sleep(context.jitter.spread(every, 0.04)).await;
            }
            Err(error) => {
                failures += 1;
                if failures == 3 {
                    tracing::warn!("cannot renew the node's lease: {:#}", anyhow::Error::new(error));
                }
                tokio::time::sleep(backoff.next(&context.jitter)).await;
            }
        }
    }
}

/// Writes over the lease as we know it; looks at the API first when we do not.
async fn renew(context: &Context, known: Option<Lease>, seconds: u32) -> Result<Lease, client::Error> {
    let name = &context.config.node_name;
    let lease = match known {
        Some(lease) => Some(lease),
        None => context.api.get::<Lease>(NAMESPACE, name).await?,
    };
    let exists = lease.is_some();
    let mut lease = lease.unwrap_or_default();
    lease.metadata.name = Some(name.clone());
    lease.metadata.namespace = Some(NAMESPACE.to_owned());
    if lease.metadata.owner_references.is_none() {
        lease.metadata.owner_references = owner(context);
    }
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(name.clone());
    spec.lease_duration_seconds = i32::try_from(seconds).ok();
    spec.renew_time = Some(MicroTime(context.clock.now()));
    let body = json!(lease);
    if exists {
        context.api.replace(&Target::named(Lease::RESOURCE, NAMESPACE, name), None, &body).await
    } else {
        context.api.create(&Lease::RESOURCE, NAMESPACE, &body).await
    }
}

/// The lease goes with its node.
fn owner(context: &Context) -> Option<Vec<OwnerReference>> {
    let node = context.node.get("", &context.config.node_name)?;
    Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: context.config.node_name.clone(),
        uid: node.metadata.uid.clone()?,
        ..OwnerReference::default()
    }])
}
