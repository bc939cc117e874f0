//! What the brain knows besides pods and nodes: Services, controllers, budgets, namespaces, storage. Each kind is
//! followed by a task of its own, which hands what it sees to the one loop that owns the brain.
//!
//! A kind that the server does not serve is asked for again from time to time; until then there is nothing of it.

use std::time::Duration;

use client::{Event, Informers, Object, Resource, Target, Watched};
use component::Shutdown;
use http::Method;
use jiff::Timestamp;
use scheduling::{
    Scheduler,
    framework::StorageEvent,
    object::{Budget, Controller, Namespace, Service},
    peers::OwnerKind,
    storage::object::{Capacity, Claim, Class, CsiDriver, CsiNode, Volume},
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

/// Changes on their way to the loop. Beyond, the tasks wait, and changes of one object are merged meanwhile.
const LIMIT: usize = 256;
const ASK_AGAIN: Duration = Duration::from_secs(30);
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// A change of what the brain knows.
pub type News = Box<dyn FnOnce(&mut Scheduler, Timestamp) + Send>;

pub struct Sources {
    news: mpsc::Receiver<News>,
    settled: Vec<oneshot::Receiver<()>>,
}

impl Sources {
    pub fn start(informers: &Informers, shutdown: &Shutdown) -> Self {
        let (sender, news) = mpsc::channel(LIMIT);
        let mut start = Start { informers, shutdown, sender, settled: Vec::new() };
        start.kind::<Namespace>(|s, now, event| match event {
            Event::Applied { new, .. } => s.apply_namespace(new, now),
            Event::Deleted(old) => s.cluster_mut().remove_namespace(&old.metadata.name),
        });
        start.kind::<Service>(|s, _, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().set_service(new),
            Event::Deleted(old) => s.cluster_mut().remove_service(&old.metadata.namespace, &old.metadata.name),
        });
        let sets = |kind, plural| Resource::new("apps", "v1", kind, plural, true);
        start.controllers(OwnerKind::ReplicaSet, sets("ReplicaSet", "replicasets"));
        start.controllers(OwnerKind::StatefulSet, sets("StatefulSet", "statefulsets"));
        let replication = Resource::new("", "v1", "ReplicationController", "replicationcontrollers", true);
        start.controllers(OwnerKind::ReplicationController, replication);
        start.kind::<Budget>(|s, _, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().set_budget(new),
            Event::Deleted(old) => s.cluster_mut().remove_budget(&old.metadata.namespace, &old.metadata.name),
        });
        start.storage();
        Self { news, settled: start.settled }
    }

    /// Returns once everything that is served has been listed and handed to `take`.
    pub async fn synced(&mut self, mut take: impl FnMut(News)) {
        for mut settled in std::mem::take(&mut self.settled) {
            loop {
                tokio::select! {
                    biased;
                    Some(news) = self.news.recv() => take(news),
                    // A task that has ended will not settle any more than it has.
                    _ = &mut settled => break,
                }
            }
        }
        while let Some(news) = self.try_next() {
            take(news);
        }
    }

    pub fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// The next change; waits for it. Cancel safe.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // All tasks have ended: nothing will come any more.
            None => std::future::pending().await,
        }
    }
}

struct Start<'a> {
    informers: &'a Informers,
    shutdown: &'a Shutdown,
    sender: mpsc::Sender<News>,
    settled: Vec<oneshot::Receiver<()>>,
}

impl Start<'_> {
    fn kind<K: Watched>(
        &mut self,
        take: impl Fn(&mut Scheduler, Timestamp, &Event<K>) + Clone + Send + Sync + 'static,
    ) {
        self.follow(Target::of::<K>(), take);
    }

    fn controllers(&mut self, kind: OwnerKind, resource: Resource) {
        self.follow(Target::all(resource), move |s, _, event: &Event<Controller>| match event {
            Event::Applied { new, .. } => s.cluster_mut().set_controller(kind, new),
            Event::Deleted(old) => s.cluster_mut().remove_controller(kind, &old.metadata.namespace, &old.metadata.name),
        });
    }

    fn storage(&mut self) {
        self.stored::<Claim>(StorageEvent::Claim, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_claim(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_claim(old),
        });
        self.stored::<Volume>(StorageEvent::Volume, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_volume(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_volume(&old.metadata.name),
        });
        self.stored::<Class>(StorageEvent::Class, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_class(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_class(&old.metadata.name),
        });
        self.stored::<CsiNode>(StorageEvent::CsiNode, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_csi_node(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_csi_node(&old.metadata.name),
        });
        self.stored::<CsiDriver>(StorageEvent::CsiDriver, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_driver(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_driver(&old.metadata.name),
        });
        self.stored::<Capacity>(StorageEvent::Capacity, |s, event| match event {
            Event::Applied { new, .. } => s.cluster_mut().storage_mut().set_capacity(new),
            Event::Deleted(old) => s.cluster_mut().storage_mut().remove_capacity(old),
        });
    }

    fn stored<K: Watched>(
        &mut self,
        what: StorageEvent,
        take: impl Fn(&mut Scheduler, &Event<K>) + Clone + Send + Sync + 'static,
    ) {
        self.kind::<K>(move |s, now, event| {
            take(s, event);
            s.storage_changed(what, now);
        });
    }

    fn follow<K: Object>(
        &mut self,
        target: Target,
        take: impl Fn(&mut Scheduler, Timestamp, &Event<K>) + Clone + Send + Sync + 'static,
    ) {
        let (settle, settled) = oneshot::channel();
        self.settled.push(settled);
        let (informers, shutdown, sender) = (self.informers.clone(), self.shutdown.clone(), self.sender.clone());
        tokio::spawn(async move {
            let following = async {
                let mut settle = Some(settle);
                served(&informers, &target.resource, &mut settle).await;
                let store = informers.store_of::<K>(target);
                store.synced().await;
                let mut subscription = store.subscribe();
                let hand = async |event: Event<K>| {
                    let take = take.clone();
                    let news: News = Box::new(move |scheduler, now| take(scheduler, now, &event));
                    sender.send(news).await.is_ok()
                };
                while let Some(event) = subscription.try_next() {
                    if !hand(event).await {
                        return;
                    }
                }
                // Nobody waits any more if it was settled before.
                settle.take().map(|settle| settle.send(()).is_ok());
                while hand(subscription.next().await).await {}
            };
            shutdown.or(following).await;
        });
    }
}

/// Returns once the server serves this; `settle` is told when it is known not to.
async fn served(informers: &Informers, resource: &Resource, settle: &mut Option<oneshot::Sender<()>>) {
    let path = format!("{}?limit=1&resourceVersion=0", resource.collection_path(""));
    loop {
        match informers.api().json::<Value>(Method::GET, &path, None).await {
            Ok(_) => return,
            Err(error) if error.is_not_found() => {
                if let Some(settle) = settle.take() {
                    tracing::info!(resource = %resource.plural, "not served; asking again from time to time");
                    let _ = settle.send(());
                }
                sleep(ASK_AGAIN).await;
            }
            Err(_) => sleep(AFTER_ERROR).await,
        }
    }
}
