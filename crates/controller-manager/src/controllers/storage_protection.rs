//! Watches claims, volumes and pods for [`controllers::storage_protection`].

use std::{sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim},
    object::Object,
    plan::Decision,
};
use client::{Event, Executor, Store, WorkQueue};
use controllers::{
    storage_protection::{claim, claim_waits, uses, volume},
    view::{ClaimUse, Pod},
};
use http::Method;
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Failed, Key, Reconciler, Work};

const CLAIMS: &str = "pvc-protection-controller";
const VOLUMES: &str = "pv-protection-controller";
/// Pods in one answer.
const PAGE: usize = 500;

struct Claims {
    executor: Executor,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
}

struct Volumes(Store<PersistentVolume>);

pub fn start_claims(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(CLAIMS);
    let claims = kit::observed::<PersistentVolumeClaim>(context, &executor);
    let pods = context.pods().store.clone();
    let queue = Arc::new(WorkQueue::new("pvcprotection"));
    claims.on_event({
        let queue = queue.clone();
        move |event| {
            if let Event::Applied { new, .. } = event
                && claim_waits(new)
            {
                queue.add(Key::of(&**new));
            }
        }
    });
    pods.on_event({
        let (queue, claims) = (queue.clone(), claims.clone());
        move |event| {
            let Event::Deleted(pod) = event else { return };
            for used in &pod.spec.claims {
                let name = match used {
                    ClaimUse::Named(name) => name.to_string(),
                    ClaimUse::Ephemeral(volume) => format!("{}-{volume}", pod.name()),
                };
                if claims.get(pod.namespace(), &name).is_some_and(|claim| claim_waits(&claim)) {
                    queue.add(Key::new(pod.namespace(), &name));
                }
            }
        }
    });
    let work = Claims { executor, claims: claims.clone(), pods: pods.clone() };
    let synced = async move {
        claims.synced().await;
        pods.synced().await;
    };
    Ok(vec![kit::run_work(context, work, queue, 1, synced)])
}

pub fn start_volumes(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(VOLUMES);
    let volumes = kit::observed::<PersistentVolume>(context, &executor);
    let queue = Arc::new(WorkQueue::new("pvprotection"));
    kit::enqueue(&volumes, &queue);
    let reconciler = Volumes(volumes.clone());
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { volumes.synced().await })])
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Pod>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Claims {
    /// Whether some pod uses it, as the API has them now.
    async fn is_used(&self, claim: &PersistentVolumeClaim) -> Result<bool, client::Error> {
        let mut next = String::new();
        loop {
            let path = format!("/api/v1/namespaces/{}/pods?limit={PAGE}&continue={next}", claim.namespace());
            let page: Page = self.executor.api().json(Method::GET, &path, None).await?;
            if page.items.iter().any(|pod| uses(pod, claim)) {
                return Ok(true);
            }
            if page.metadata.next.is_empty() {
                return Ok(false);
            }
            next = page.metadata.next;
        }
    }
}

impl Work for Claims {
    const NAME: &'static str = "persistentvolumeclaim-protection-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let found = self.claims.get(&key.namespace, &key.name).filter(|claim| claim_waits(claim));
        let Some(found) = found else { return Ok(None) };
        let seen = self.pods.list_in(&key.namespace).iter().any(|pod| uses(pod, &found));
        // The end of the pod that uses it wakes the key again.
        let used = seen || self.is_used(&found).await?;
        self.executor.run(&claim(&found, used)).await?;
        Ok(None)
    }
}

impl Reconciler for Volumes {
    const NAME: &'static str = "persistentvolume-protection-controller";

    fn decide(&self, key: &Key, _extra: Extra<'_>) -> Option<Decision> {
        let found = self.0.get("", &key.name)?;
        Some(Decision::Do(volume(&found)))
    }
}
