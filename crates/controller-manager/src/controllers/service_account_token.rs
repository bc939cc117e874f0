//! Watches Secrets of service accounts, and the accounts, for [`controllers::service_account_token`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::core::v1::Secret,
    object::{Object, Watched},
    plan::Decision,
};
use client::{Executor, Index, Recorder, Store, Target, WorkQueue};
use controllers::{
    service_account_token::{KIND, Observed, account, reconcile},
    view::ServiceAccount,
};
use tokio::task::JoinHandle;

use super::TokenKey;
use crate::kit::{self, Context, Extra, Key, Reconciler};

struct Tokens {
    secrets: Store<Secret>,
    accounts: Store<ServiceAccount>,
    key: TokenKey,
    ca: Option<Arc<str>>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let Some(key) = context.options.token_key()? else { return Ok(Vec::new()) };
    let client = context.identities.own();
    let recorder =
        Recorder::new(client.clone(), "serviceaccount-token", "", context.clock.clone(), context.shutdown.clone());
    let executor = Executor::new(client, recorder);
    let secrets: Store<Secret> = context.informers.store_of(Target::of::<Secret>().fields(&format!("type={KIND}")));
    executor.observe(&Secret::RESOURCE, &secrets);
    let accounts = context.informers.store::<ServiceAccount>();
    let by_account: Index<Secret> = secrets.index(|secret| {
        account(secret).map(|account| format!("{}/{account}", secret.namespace())).into_iter().collect()
    });
    let queue = Arc::new(WorkQueue::new("serviceaccount_tokens_secret"));
    kit::enqueue(&secrets, &queue);
    accounts.on_event({
        let queue = queue.clone();
        move |event| {
            let account = event.object();
            for secret in by_account.get(&format!("{}/{}", account.namespace(), account.name())) {
                queue.add(Key::of(&*secret));
            }
        }
    });
    let reconciler = Tokens { secrets: secrets.clone(), accounts: accounts.clone(), key, ca: context.root_ca.clone() };
    let synced = async move {
        secrets.synced().await;
        accounts.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, synced)])
}

impl Reconciler for Tokens {
    const NAME: &'static str = "serviceaccount-token-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let secret = self.secrets.get(&key.namespace, &key.name)?;
        let known = account(&secret).and_then(|name| self.accounts.get(&key.namespace, name));
        let seen = Observed {
            secret: &secret,
            account: known.as_ref().map(|account| account.uid()),
            live: extra.live,
            ca: self.ca.as_deref(),
        };
        match reconcile(&seen, |claims| self.key.sign(claims)) {
            Ok(decision) => Some(decision),
            Err(error) => {
                tracing::error!(%key, "cannot sign a token: {error:#}");
                None
            }
        }
    }
}
