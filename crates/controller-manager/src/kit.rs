//! How every controller runs: keys from a queue, one worker a key, the brain's plan carried out, failures tried again.
//!
//! A controller gathers what its brain needs to see ([`Reconciler::decide`]) and says which changes concern which key;
//! everything else is here.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use api_types::{
    object::{Object, Watched},
    plan::{Decision, Failure, Plan, Target},
};
use client::{Executor, Index, Informers, Leadership, Recorder, Store, WorkQueue, executor::WriteError};
use component::{Clock, Shutdown};
use controllers::{
    replica_set::Live,
    view::{Bare, Pod},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{controllers::Signer, identities::Identities, options::Options};

/// What every controller is given.
#[derive(Clone)]
pub struct Context {
    pub informers: Informers,
    pub identities: Arc<Identities>,
    pub clock: Arc<dyn Clock>,
    pub leadership: Leadership,
    pub options: Arc<Options>,
    pub root_ca: Option<Arc<str>>,
    pub signer: Option<Arc<Signer>>,
    pub shutdown: Shutdown,
    pub pods: Arc<OnceLock<Pods>>,
}

/// The cache of pods, which most controllers share, with the ways in which they look pods up.
#[derive(Clone)]
pub struct Pods {
    pub store: Store<Pod>,
    /// By the uid of their controller.
    pub by_owner: Index<Pod>,
    /// Without a controller, by namespace.
    pub orphans: Index<Pod>,
    pub by_node: Index<Pod>,
}

impl Pods {
    fn new(store: Store<Pod>) -> Self {
        Self {
            by_owner: store.index(|pod| pod.metadata.controller().map(|owner| owner.uid.clone()).into_iter().collect()),
            orphans: store.index(|pod| match pod.metadata.controller() {
                None => vec![pod.metadata.namespace.to_string()],
                Some(_) => Vec::new(),
            }),
            by_node: store.index(|pod| match &*pod.spec.node_name {
                "" => Vec::new(),
                node => vec![node.to_owned()],
            }),
            store,
        }
    }
}

impl Context {
    pub fn pods(&self) -> &Pods {
        self.pods.get_or_init(|| Pods::new(self.informers.store()))
    }

    /// Writes as the service account `name`, and reports events under that name.
    pub fn executor(&self, name: &'static str) -> Executor {
        let client = self.identities.client(name);
        let recorder = Recorder::new(client.clone(), name, "", self.clock.clone(), self.shutdown.clone());
        Executor::new(client, recorder)
    }
}

/// `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn of<K: Object>(object: &K) -> Self {
        Self::new(object.namespace(), object.name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What the brain is told besides the caches.
#[derive(Clone, Copy)]
pub struct Extra<'a> {
    /// The answer to what it needed to read.
    pub live: Option<&'a Live>,
    /// The write at which the last plan for this key stopped.
    pub failure: Option<&'a Failure>,
    pub now: Timestamp,
}

/// A controller that decides one key at a time.
pub trait Reconciler: Send + Sync + 'static {
    /// Upstream's name of the controller.
    const NAME: &'static str;

    /// `None`: there is nothing of that name any more.
    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision>;

    /// Waits until the caches can be decided on, where having our own last write is not enough.
    fn ready(&self, _key: &Key) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A controller that needs more than caches to decide.
pub trait Work: Send + Sync + 'static {
    const NAME: &'static str;

    /// When to look at the key again, if nothing changes before.
    fn work(&self, key: &Key) -> impl Future<Output = Result<Option<Duration>, Failed>> + Send;
}

/// Waits until the caches are filled, then works on the queue whenever this instance leads.
pub fn run<R: Reconciler>(
    context: &Context,
    reconciler: R,
    executor: Executor,
    queue: Arc<WorkQueue<Key>>,
    workers: usize,
    synced: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let work = Brain { reconciler, executor, clock: context.clock.clone(), failures: Mutex::new(HashMap::new()) };
    run_work(context, work, queue, workers, synced)
}

/// The same for a controller that does its own reading.
pub fn run_work<W: Work>(
    context: &Context,
    work: W,
    queue: Arc<WorkQueue<Key>>,
    workers: usize,
    synced: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let work = Arc::new(work);
    while_leading(context, synced, move || {
        let (work, queue) = (work.clone(), queue.clone());
        async move {
            futures::future::join_all((0..workers.max(1)).map(|_| worker(&*work, &queue))).await;
        }
    })
}

/// Runs `work` from when the caches are filled, while this instance leads; dropped when it no longer does.
pub fn while_leading<Fut>(
    context: &Context,
    synced: impl Future<Output = ()> + Send + 'static,
    mut work: impl FnMut() -> Fut + Send + 'static,
) -> JoinHandle<()>
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let (mut leadership, shutdown) = (context.leadership.clone(), context.shutdown.clone());
    tokio::spawn(async move {
        let running = async {
            synced.await;
            loop {
                leadership.gained().await;
                let mut watched = leadership.clone();
                tokio::select! {
                    () = work() => return,
                    () = watched.lost() => {}
                }
            }
        };
        shutdown.or(running).await;
    })
}

/// Gives a key back to its queue, also when the work on it is dropped half-way.
struct Taken<'a> {
    queue: &'a WorkQueue<Key>,
    key: Key,
    finished: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.queue.add(self.key.clone());
        }
        self.queue.done(&self.key);
    }
}

async fn worker<W: Work>(work: &W, queue: &WorkQueue<Key>) {
    while let Some(key) = queue.next().await {
        let mut taken = Taken { queue, key: key.clone(), finished: false };
        match work.work(&key).await {
            Ok(again_in) => {
                queue.forget(&key);
                if let Some(delay) = again_in {
                    queue.add_after(key, delay);
                }
            }
            Err(failed) => {
                failed.log(W::NAME, &key);
                queue.add_rate_limited(key);
            }
        }
        taken.finished = true;
    }
}

/// A [`Reconciler`] with what it needs to act.
struct Brain<R> {
    reconciler: R,
    executor: Executor,
    clock: Arc<dyn Clock>,
    /// The writes at which the last plans stopped.
    failures: Mutex<HashMap<Key, Failure>>,
}

impl<R: Reconciler> Work for Brain<R> {
    const NAME: &'static str = R::NAME;

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        self.reconciler.ready(key).await;
        let failure = self.failures.lock().get(key).cloned();
        let extra = Extra { live: None, failure: failure.as_ref(), now: self.clock.now() };
        let plan = match self.reconciler.decide(key, extra) {
            None => Plan::default(),
            Some(Decision::Do(plan)) => plan,
            Some(Decision::Need(target)) => {
                let live = live(&self.executor, &target).await?;
                match self.reconciler.decide(key, Extra { live: Some(&live), ..extra }) {
                    Some(Decision::Do(plan)) => plan,
                    // One read is all that a brain may ask for.
                    Some(Decision::Need(_)) | None => Plan::default(),
                }
            }
        };
        match self.executor.run(&plan).await {
            Ok(()) => {
                self.failures.lock().remove(key);
                Ok(plan.again_in)
            }
            Err(error) => {
                self.failures.lock().insert(key.clone(), error.failure.clone());
                Err(Failed::Write(error))
            }
        }
    }
}

/// The object as the API has it now.
pub async fn live(executor: &Executor, target: &Target) -> Result<Live, Failed> {
    let api = executor.api();
    let object: Option<Bare> =
        api.get_metadata(&target.resource, &target.namespace, &target.name).await.map_err(Failed::Read)?;
    Ok(Live {
        deleting: object.as_ref().is_some_and(|object| object.metadata.deleting()),
        uid: object.map(|object| object.metadata.uid.into_string()),
    })
}

/// Why a key has to be tried again.
pub enum Failed {
    Read(client::Error),
    Write(WriteError),
    Other(anyhow::Error),
}

impl From<client::Error> for Failed {
    fn from(error: client::Error) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl Failed {
    fn log(&self, controller: &str, key: &Key) {
        let (stale, error): (bool, &(dyn std::error::Error + 'static)) = match self {
            Self::Read(error) => (false, error),
            Self::Write(error) => (error.is_stale(), error),
            Self::Other(error) => (false, error.as_ref()),
        };
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        if stale {
            tracing::debug!(controller, %key, "decided on what has changed since: {text}");
        } else {
            tracing::warn!(controller, %key, "{text}");
        }
    }
}

/// Every change of an object wants its key looked at.
pub fn enqueue<K: Object>(store: &Store<K>, queue: &Arc<WorkQueue<Key>>) {
    let queue = queue.clone();
    store.on_event(move |event| queue.add(Key::of(&**event.object())));
}

/// Shorthand for the store of a kind, known to the executor so that it waits for its own writes.
pub fn observed<K: Watched>(context: &Context, executor: &Executor) -> Store<K> {
    let store = context.informers.store::<K>();
    executor.observe(&K::RESOURCE, &store);
    store
}
