//! Custom resources while the server runs: follows the definitions, serves what they say, and tells them in their status.
//!
//! What becomes of a definition is decided in `api_rules::custom::establish`; here it is carried out, a batch of changes at a
//! time. A kind is served once its objects have been read; then the registry is replaced, and only then is the definition
//! called established. Every server does this for itself: whose status write comes first does not matter, the others find
//! nothing left to say.

mod finalizer;
mod serving;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api_rules::{
    Kind,
    custom::{
        definition::{self, ReadError},
        establish::{self, FINALIZER, Observed},
    },
    kinds, value,
};
use component::{Shutdown, health::Flag};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::{Filter, Freshness, Object, Step, WatchFrom, Watcher};

use crate::{app::App, core::Served};
use serving::Serving;

pub const GROUP: &str = "apiextensions.k8s.io";
pub const RESOURCE: &str = "customresourcedefinitions";

/// Between two attempts while the storage fails.
const RETRY: Duration = Duration::from_millis(500);
/// How long the watches of a definition that is gone go on.
const LAST_EVENTS: Duration = Duration::from_secs(1);
/// Resources that are read at the same time.
const READS: usize = 8;

/// Follows the definitions until shutdown; `loaded` is set when those that are there at the start are served.
pub fn start(app: &Arc<App>, loaded: Flag, shutdown: &Shutdown) {
    let (app, shutdown) = (app.clone(), shutdown.clone());
    tokio::spawn(async move {
        let mut follower = Follower {
            shared: Arc::new(Shared { app, stored: Mutex::default(), finalizing: Mutex::default() }),
            shutdown: shutdown.clone(),
            serving: BTreeMap::new(),
            names: BTreeMap::new(),
            loaded,
        };
        shutdown.or(follower.run()).await;
    });
}

/// What the follower and those who remove instances share.
struct Shared {
    app: Arc<App>,
    /// The stored version of every definition that is served.
    stored: Mutex<BTreeMap<String, Arc<Served>>>,
    /// Definitions whose instances are being removed.
    finalizing: Mutex<BTreeSet<String>>,
}

struct Follower {
    shared: Arc<Shared>,
    shutdown: Shutdown,
    serving: BTreeMap<String, Serving>,
    /// The names of all definitions, as far as others must know them.
    names: BTreeMap<String, Value>,
    loaded: Flag,
}

impl Follower {
    async fn run(&mut self) {
        self.shared.app.core.store.ready().await;
        loop {
            if let Err(why) = self.follow().await {
                tracing::debug!("definitions are followed anew: {why:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes in the present state, and then every change until the watch ends.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let core = &self.shared.app.core;
        let Some(id) = core.resource(GROUP, RESOURCE) else { anyhow::bail!("definitions are not stored") };
        let mut watcher = core.store.watch(&id, Filter::everything(), WatchFrom::State(Freshness::Any)).await?;
        let mut changed: BTreeSet<String> = self.names.keys().cloned().collect();
        let mut synced = false;
        loop {
            if synced && !changed.is_empty() {
                let failed = self.take_in(std::mem::take(&mut changed)).await;
                self.loaded.set(true);
                anyhow::ensure!(failed.is_empty(), "{failed:?} are to be looked at again");
            }
            synced |= next(&mut watcher, &mut changed).await?;
            if synced && changed.is_empty() {
                self.loaded.set(true);
            }
        }
    }

    fn definition(&self, name: &str) -> Option<Arc<Object>> {
        self.shared.app.core.cached(GROUP, RESOURCE, "", name)
    }

    /// Brings what is served in line with these definitions. Answers those that are to be looked at again.
    async fn take_in(&mut self, changed: BTreeSet<String>) -> BTreeSet<String> {
        let mut again = BTreeSet::new();
        let mut present = Vec::new();
        let mut differs = false;
        for name in self.with_rivals(changed) {
            match self.definition(&name) {
                Some(object) => present.push((name, object.value())),
                None => {
                    self.names.remove(&name);
                    if let Some(gone) = self.serving.remove(&name) {
                        self.retire(gone);
                        differs = true;
                    }
                    self.shared.stored.lock().remove(&name);
                }
            }
        }
        let mut wanted = Vec::new();
        for (name, crd) in &present {
            let decided = self.decide(crd, self.is_served(name)).unwrap_or_else(|| crd.clone());
            self.names.insert(name.clone(), slim(&decided));
            if is_built_in(name) {
                continue;
            }
            if definition::condition(&decided, "NamesAccepted") || definition::condition(&decided, "Established") {
                wanted.push((name.clone(), decided));
            }
        }
        let replaced = self.install(wanted, &mut differs, &mut again).await;
        if differs {
            self.publish();
        }
        replaced.into_iter().for_each(|old| self.shared.app.core.store.remove(&old));
        for (name, crd) in present {
            self.tell(&name, &crd).await.unwrap_or_else(|why| {
                tracing::warn!(definition = name, "its status could not be written: {why:#}");
                again.insert(name);
            });
        }
        again
    }

    /// Takes a resource out of the store, but lets its watches see its last objects go.
    fn retire(&self, gone: Serving) {
        let (shared, shutdown) = (self.shared.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            shutdown.or(tokio::time::sleep(LAST_EVENTS)).await;
            shared.app.core.store.remove(&gone.id);
        });
    }

    /// These definitions, and those of the same groups that wait for a name to become free.
    fn with_rivals(&self, changed: BTreeSet<String>) -> BTreeSet<String> {
        let groups: BTreeSet<&str> =
            changed.iter().filter_map(|name| name.split_once('.')).map(|(_, group)| group).collect();
        let waiting = self.names.iter().filter(|(name, slim)| {
            slim["waits"] == true && name.split_once('.').is_some_and(|(_, group)| groups.contains(group))
        });
        let waiting: Vec<String> = waiting.map(|(name, _)| name.clone()).collect();
        changed.into_iter().chain(waiting).collect()
    }

    fn is_served(&self, name: &str) -> bool {
        self.serving.contains_key(name) || is_built_in(name)
    }

    fn decide(&self, crd: &Value, is_served: bool) -> Option<Value> {
        let group = value::text(crd, &["spec", "group"]);
        let rivals: Vec<&Value> = self.names.values().filter(|slim| slim["spec"]["group"] == group).collect();
        establish::decide(&Observed { crd, group: &rivals, is_served, now: self.shared.app.core.clock.now() })
    }

    /// Reads what is not served yet in the form it should be. Answers the resources that others have taken the place of.
    async fn install(
        &mut self,
        wanted: Vec<(String, Value)>,
        differs: &mut bool,
        again: &mut BTreeSet<String>,
    ) -> Vec<store::ResourceRef> {
        let core = &self.shared.app.core;
        let installs = wanted.into_iter().map(|(name, crd)| {
            let before = self.serving.get(&name).cloned();
            async move { (Serving::of(core, &crd, before.as_ref()).await, name) }
        });
        let installed: Vec<_> = stream::iter(installs).buffered(READS).collect().await;
        let mut replaced = Vec::new();
        for (outcome, name) in installed {
            match outcome {
                Ok(serving) => {
                    self.shared.stored.lock().insert(name.clone(), serving.stored.clone());
                    let (id, whole) = (serving.id.clone(), serving.whole);
                    let before = self.serving.insert(name, serving);
                    *differs |= before.as_ref().is_none_or(|before| before.whole != whole);
                    replaced.extend(before.map(|before| before.id).filter(|old| *old != id));
                }
                Err(why) => {
                    tracing::error!(definition = name, "custom resources cannot be served: {why:#}");
                    // A definition that cannot be read does not change by being read again.
                    if !why.is::<ReadError>() {
                        again.insert(name);
                    }
                }
            }
        }
        replaced
    }

    fn publish(&self) {
        let all: Vec<Arc<Served>> = self.serving.values().flat_map(|serving| &serving.kinds).cloned().collect();
        self.shared.app.core.serve(&all);
    }

    /// Says in the status what has become of the definition, and lets its instances be removed if it goes.
    async fn tell(&self, name: &str, crd: &Value) -> anyhow::Result<()> {
        if let Some(new) = self.decide(crd, self.is_served(name)) {
            status::write(&self.shared.app.core, crd, new).await?;
        }
        let finalizers = value::items(crd, &["metadata", "finalizers"]);
        let goes = value::at(crd, &["metadata", "deletionTimestamp"]).is_some();
        if goes && finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizer::start(&self.shared, name, &self.shutdown);
        }
        Ok(())
    }
}

/// Whether a definition stands for a kind that is there without it. That kind is served as ever, and above all its objects
/// are no instances that go with the definition.
fn is_built_in(name: &str) -> bool {
    let of_name = |kind: &&dyn Kind| {
        let names = kind.names();
        name.strip_prefix(names.plural).and_then(|rest| rest.strip_prefix('.')) == Some(names.group)
    };
    kinds::all().iter().any(|kind| of_name(&(*kind as &dyn Kind)))
}

/// Adds the names of what the watch says next. True when everything that was there has been said.
async fn next(watcher: &mut Watcher, changed: &mut BTreeSet<String>) -> anyhow::Result<bool> {
    match watcher.next().await? {
        Step::Events(events) => {
            changed.extend(events.iter().map(|event| event.object.name().to_owned()));
            Ok(false)
        }
        Step::Synced(_) => Ok(true),
    }
}

/// What other definitions must know of one.
fn slim(crd: &Value) -> Value {
    json!({
        "metadata": {"name": crd["metadata"]["name"]},
        "spec": {"group": crd["spec"]["group"]},
        "status": {"acceptedNames": crd["status"]["acceptedNames"]},
        "waits": !definition::condition(crd, "NamesAccepted"),
    })
}
