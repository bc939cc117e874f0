//! Watches bootstrap tokens and `cluster-info` for [`controllers::bootstrap_tokens`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::core::v1::{ConfigMap, Secret},
    object::Watched,
    plan::Decision,
};
use client::{Executor, Store, Target, WorkQueue};
use controllers::bootstrap_tokens::{KIND, clean, sign};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const INFO: &str = "cluster-info";

struct Tokens(Store<Secret>);

struct Signer {
    tokens: Store<Secret>,
    info: Store<ConfigMap>,
}

fn tokens(context: &Context, executor: &Executor) -> Store<Secret> {
    let target = Target::of::<Secret>().in_namespace(SYSTEM).fields(&format!("type={KIND}"));
    let store = context.informers.store_of(target);
    executor.observe(&Secret::RESOURCE, &store);
    store
}

pub fn start_cleaner(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor("token-cleaner");
    let tokens = tokens(context, &executor);
    let queue = Arc::new(WorkQueue::new("token_cleaner"));
    kit::enqueue(&tokens, &queue);
    let reconciler = Tokens(tokens.clone());
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { tokens.synced().await })])
}

pub fn start_signer(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor("bootstrap-signer");
    let tokens = tokens(context, &executor);
    let target = Target::of::<ConfigMap>().in_namespace(PUBLIC).fields(&format!("metadata.name={INFO}"));
    let info: Store<ConfigMap> = context.informers.store_of(target);
    executor.observe(&ConfigMap::RESOURCE, &info);
    // There is one thing to sign.
    let queue = Arc::new(WorkQueue::new("bootstrap_signer_queue"));
    tokens.on_event({
        let queue = queue.clone();
        move |_| queue.add(Key::new(PUBLIC, INFO))
    });
    kit::enqueue(&info, &queue);
    let reconciler = Signer { tokens: tokens.clone(), info: info.clone() };
    let synced = async move {
        tokens.synced().await;
        info.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, synced)])
}

impl Reconciler for Tokens {
    const NAME: &'static str = "token-cleaner-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let token = self.0.get(&key.namespace, &key.name)?;
        Some(Decision::Do(clean(&token, extra.now)))
    }
}

impl Reconciler for Signer {
    const NAME: &'static str = "bootstrap-signer-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let info = self.info.get(&key.namespace, &key.name)?;
        Some(Decision::Do(sign(&info, &self.tokens.list(), extra.now)))
    }
}
