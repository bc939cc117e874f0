//! Watches namespaces and service accounts for [`controllers::service_account`].

use std::sync::Arc;

use api_types::{object::Watched, plan::Decision};
use client::{Store, Target, WorkQueue};
use controllers::{
    service_account::{NAME, reconcile},
    view::{Namespace, ServiceAccount},
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "service-account-controller";

struct ServiceAccounts {
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let namespaces = context.informers.store::<Namespace>();
    let target = Target::of::<ServiceAccount>().fields(&format!("metadata.name={NAME}"));
    let accounts = context.informers.store_of::<ServiceAccount>(target);
    executor.observe(&ServiceAccount::RESOURCE, &accounts);
    let queue = Arc::new(WorkQueue::new("serviceaccount"));
    kit::enqueue(&namespaces, &queue);
    accounts.on_event({
        let queue = queue.clone();
        move |event| queue.add(Key::new("", &event.object().metadata.namespace))
    });
    let reconciler = ServiceAccounts { namespaces: namespaces.clone(), accounts: accounts.clone() };
    let synced = async move {
        namespaces.synced().await;
        accounts.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, synced)])
}

impl Reconciler for ServiceAccounts {
    const NAME: &'static str = "serviceaccount-controller";

    fn decide(&self, key: &Key, _: Extra<'_>) -> Option<Decision> {
        let namespace = self.namespaces.get("", &key.name)?;
        Some(Decision::Do(reconcile(&namespace, self.accounts.get(&key.name, NAME).is_some())))
    }
}
