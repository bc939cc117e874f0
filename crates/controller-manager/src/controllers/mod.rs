//! The one list of controllers, and for each what it watches.

mod bootstrap_tokens;
mod certificate_approving;
mod certificate_cleaner;
mod certificate_signing;
mod cluster_role_aggregation;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod garbage_collector;
mod job;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod owned;
mod persistent_volume_binder;
mod pod_gc;
mod replica_set;
mod resource_quota;
mod revisions;
mod root_ca_publisher;
mod selected;
mod service_account;
mod service_account_token;
mod signer;
mod stateful_set;
mod storage_protection;
mod taint_eviction;
mod token_key;
mod ttl;
mod ttl_after_finished;

use tokio::task::JoinHandle;

use crate::kit::Context;

pub use signer::Signer;
pub use token_key::TokenKey;

type Start = fn(&Context) -> anyhow::Result<Vec<JoinHandle<()>>>;

/// Upstream's names, as `--controllers` takes them.
const ALL: &[(&str, Start)] = &[
    ("certificatesigningrequest-approving-controller", certificate_approving::start),
    ("certificatesigningrequest-cleaner-controller", certificate_cleaner::start),
    ("certificatesigningrequest-signing-controller", certificate_signing::start),
    ("clusterrole-aggregation-controller", cluster_role_aggregation::start),
    ("cronjob-controller", cron_job::start),
    ("daemonset-controller", daemon_set::start),
    ("deployment-controller", deployment::start),
    ("disruption-controller", disruption::start),
    ("endpoints-controller", endpoints::start),
    ("endpointslice-controller", endpoint_slice::start),
    ("endpointslice-mirroring-controller", endpoint_slice_mirroring::start),
    ("garbage-collector-controller", garbage_collector::start),
    ("job-controller", job::start),
    ("namespace-controller", namespace::start),
    ("node-ipam-controller", node_ipam::start),
    ("node-lifecycle-controller", node_lifecycle::start),
    ("persistentvolume-binder-controller", persistent_volume_binder::start),
    ("persistentvolume-protection-controller", storage_protection::start_volumes),
    ("persistentvolumeclaim-protection-controller", storage_protection::start_claims),
    ("pod-garbage-collector-controller", pod_gc::start),
    ("replicaset-controller", replica_set::start),
    ("replicationcontroller-controller", replica_set::start_replication),
    ("resourcequota-controller", resource_quota::start),
    ("root-ca-certificate-publisher-controller", root_ca_publisher::start),
    ("serviceaccount-controller", service_account::start),
    ("serviceaccount-token-controller", service_account_token::start),
    ("statefulset-controller", stateful_set::start),
    ("taint-eviction-controller", taint_eviction::start),
    ("ttl-controller", ttl::start),
    ("ttl-after-finished-controller", ttl_after_finished::start),
];

/// Those that run only when `--controllers` names them, as upstream.
const ON_REQUEST: &[(&str, Start)] = &[
    ("bootstrap-signer-controller", bootstrap_tokens::start_signer),
    ("token-cleaner-controller", bootstrap_tokens::start_cleaner),
];

/// Starts those that are switched on.
pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut running = Vec::new();
    let usual = ALL.iter().filter(|(name, _)| context.options.wants(name));
    let named = ON_REQUEST.iter().filter(|(name, _)| context.options.controllers.iter().any(|entry| entry == name));
    for (name, start) in usual.chain(named) {
        tracing::debug!(controller = name, "starting");
        running.extend(start(context)?);
    }
    Ok(running)
}
