//! Watches namespaces and their trust bundles for [`controllers::root_ca_publisher`].

use std::sync::Arc;

use api_types::{object::Watched, plan::Decision};
use client::{Store, Target, WorkQueue};
use controllers::{
    root_ca_publisher::{NAME, reconcile},
    view::{Namespace, RootCa},
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "root-ca-cert-publisher";

struct RootCas {
    namespaces: Store<Namespace>,
    published: Store<RootCa>,
    ca: Arc<str>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let Some(ca) = context.root_ca.clone() else {
        tracing::warn!("no --root-ca-file: namespaces are not told whom to trust");
        return Ok(Vec::new());
    };
    let executor = context.executor(ACCOUNT);
    let namespaces = context.informers.store::<Namespace>();
    let target = Target::of::<RootCa>().fields(&format!("metadata.name={NAME}"));
    let published = context.informers.store_of::<RootCa>(target);
    executor.observe(&RootCa::RESOURCE, &published);
    let queue = Arc::new(WorkQueue::new("root_ca_cert_publisher"));
    kit::enqueue(&namespaces, &queue);
    published.on_event({
        let queue = queue.clone();
        move |event| queue.add(Key::new("", &event.object().metadata.namespace))
    });
    let reconciler = RootCas { namespaces: namespaces.clone(), published: published.clone(), ca };
    let synced = async move {
        namespaces.synced().await;
        published.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, synced)])
}

impl Reconciler for RootCas {
    const NAME: &'static str = "root-ca-certificate-publisher-controller";

    fn decide(&self, key: &Key, _: Extra<'_>) -> Option<Decision> {
        let namespace = self.namespaces.get("", &key.name)?;
        Some(Decision::Do(reconcile(&namespace, self.published.get(&key.name, NAME).as_deref(), &self.ca)))
    }
}
