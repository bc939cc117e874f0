//! Watches ClusterRoles for [`controllers::cluster_role_aggregation`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::rbac::v1::ClusterRole,
    plan::{Decision, Plan},
};
use client::{Store, WorkQueue};
use controllers::cluster_role_aggregation::reconcile;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "clusterrole-aggregation-controller";

struct Roles(Store<ClusterRole>);

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let roles = kit::observed::<ClusterRole>(context, &executor);
    // Any role may be part of any other: they are looked at together.
    let queue = Arc::new(WorkQueue::new("clusterroleaggregator"));
    roles.on_event({
        let queue = queue.clone();
        move |_| queue.add(Key::new("", "all"))
    });
    let reconciler = Roles(roles.clone());
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { roles.synced().await })])
}

impl Reconciler for Roles {
    const NAME: &'static str = "clusterrole-aggregation-controller";

    fn decide(&self, _key: &Key, _extra: Extra<'_>) -> Option<Decision> {
        let all = self.0.list();
        let mut plan = Plan::default();
        for role in all.iter().filter(|role| role.aggregation_rule.is_some()) {
            plan.stages.extend(reconcile(role, &all).stages);
        }
        Some(Decision::Do(plan))
    }
}
