//! Keeping stores up to date: list, then watch from there, for ever.
//!
//! A watch that ends is resumed where it stopped. Only when the server says that this point is gone (410), or somebody
//! asks for it, is everything listed again. An API server that is away is waited for with growing pauses, and the
//! stores answer from what they have meanwhile.

use std::{
    any::TypeId,
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api_types::{
    Status,
    object::{Object, Resource, Watched},
};
use bytes::{Buf, Bytes, BytesMut};
use component::Shutdown;
use http::{Request, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    api::{Api, Error, METADATA, METADATA_LIST},
    backoff::{Backoff, Jitter},
    cache::{Cache, Cached},
    store::Store,
};

/// As upstream: a page is in memory as text, and as objects.
const PAGE: u32 = 500;
/// The server ends a watch after this time, up to twice as much.
const WATCH_FOR: Duration = Duration::from_secs(300);
/// A watch that the server has not ended by then is dead.
const WATCH_OVERDUE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A watch that lived this long was a good one: the next pause is short again.
const LIVED: Duration = Duration::from_secs(10);

/// What one watch covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub resource: Resource,
    /// Empty: all namespaces.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// Ask for `PartialObjectMetadata` only.
    pub metadata_only: bool,
}

impl Target {
    pub fn all(resource: Resource) -> Self {
        Self {
            resource,
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
            metadata_only: false,
        }
    }

    pub fn of<K: Watched>() -> Self {
        Self::all(K::RESOURCE)
    }

    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.to_owned();
        self
    }

    pub fn labels(mut self, selector: &str) -> Self {
        self.label_selector = selector.to_owned();
        self
    }

    pub fn fields(mut self, selector: &str) -> Self {
        self.field_selector = selector.to_owned();
        self
    }

    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }
}

/// The shared caches of a process: one watch and one store for each type and target, however many use it.
#[derive(Clone)]
pub struct Informers(Arc<Inner>);

struct Inner {
    api: Api,
    jitter: Jitter,
    outage: Outage,
    shutdown: Shutdown,
    stores: Mutex<HashMap<(TypeId, Target), Known>>,
}

/// What the watches of a process know together: one line tells of an outage, one of its end, and the first watch that
/// gets through wakes the others.
#[derive(Default)]
struct Outage {
    failing: AtomicUsize,
    over: Notify,
}

/// One watch's part in it.
struct Failing<'a> {
    outage: &'a Outage,
    is: bool,
}

impl Failing<'_> {
    fn begins(&mut self, resource: &Resource, error: &anyhow::Error) {
        if std::mem::replace(&mut self.is, true) {
            return;
        }
        if self.outage.failing.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(resource = %resource.plural, "cannot watch: {error:#}");
        } else {
            tracing::debug!(resource = %resource.plural, "cannot watch either: {error:#}");
        }
    }

    fn ends(&mut self) {
        if std::mem::replace(&mut self.is, false) {
            if self.outage.failing.fetch_sub(1, Ordering::Relaxed) == 1 {
                tracing::info!("watching again");
            }
            self.outage.over.notify_waiters();
        }
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if self.is {
            self.outage.failing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the registry remembers of a store without keeping it alive.
struct Known {
    cache: Arc<Cache>,
    watch: Weak<DropGuard>,
}

impl Informers {
    /// `seed` spreads retries; give each process its own, and a test a fixed one.
    pub fn new(client: kube::Client, seed: u64, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            api: client.into(),
            jitter: Jitter::new(seed),
            outage: Outage::default(),
            shutdown,
            stores: Mutex::new(HashMap::new()),
        }))
    }

    /// The store of all objects of a kind. It begins to fill at once; await [`Store::synced`] before deciding on it.
    pub fn store<K: Watched>(&self) -> Store<K> {
        self.store_of(Target::of::<K>())
    }

    pub fn store_of<K: Object>(&self, target: Target) -> Store<K> {
        let mut stores = self.0.stores.lock();
        let key = (TypeId::of::<K>(), target);
        if let Some(known) = stores.get(&key)
            && let Some(watch) = known.watch.upgrade()
        {
            return Store::new(known.cache.clone(), watch);
        }
        let (cache, watch) = self.0.keep(key.1.clone(), decode::<K>);
        stores.insert(key, Known { cache: cache.clone(), watch: Arc::downgrade(&watch) });
        Store::new(cache, watch)
    }

    pub fn api(&self) -> &Api {
        &self.0.api
    }
}

type Decode = fn(&RawValue) -> serde_json::Result<Arc<dyn Cached>>;

impl Inner {
    /// Begins to fill a cache; it is kept up to date until the guard is dropped.
    fn keep(self: &Arc<Self>, target: Target, decode: Decode) -> (Arc<Cache>, Arc<DropGuard>) {
        let token: CancellationToken = self.shutdown.child().token().clone();
        let (cache, watch) = (Arc::new(Cache::new()), Arc::new(token.clone().drop_guard()));
        let keeper = Keeper { inner: self.clone(), target, decode, cache: cache.clone() };
        tokio::spawn(async move {
            token.run_until_cancelled(keeper.run()).await;
        });
        (cache, watch)
    }
}

/// Why a watch came to its end.
#[derive(Debug)]
enum Ended {
    /// Resume where it stopped.
    Resume,
    /// The server no longer has what lies between; list again.
    Expired,
    Failed(anyhow::Error),
}

/// The task behind one store; of the type of its objects it knows only how to decode them.
struct Keeper {
    inner: Arc<Inner>,
    target: Target,
    decode: Decode,
    cache: Arc<Cache>,
}

impl Keeper {
    async fn run(self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let outage = &self.inner.outage;
        let mut failing = Failing { outage, is: false };
        let mut listed = false;
        loop {
            let begun = Instant::now();
            let ended = if listed {
                tokio::select! {
                    ended = self.watch(&mut failing) => ended,
                    () = self.cache.list_again.notified() => Ended::Expired,
                }
            } else {
                match self.list().await {
                    Ok(()) => {
                        listed = true;
                        continue;
                    }
                    Err(error) => Ended::Failed(error.into()),
                }
            };
            self.cache.lost();
            if begun.elapsed() > LIVED {
                backoff.reset();
            }
            match ended {
                Ended::Resume if begun.elapsed() > LIVED => continue,
                Ended::Resume => {}
                Ended::Expired => listed = false,
                Ended::Failed(error) => failing.begins(&self.target.resource, &error),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(&self.inner.jitter)) => {}
                () = outage.over.notified() => {}
            }
        }
    }

    async fn list(&self) -> Result<(), Error> {
        let mut objects = Vec::new();
        let mut token = String::new();
        let accept = if self.target.metadata_only { METADATA_LIST } else { "application/json" };
        loop {
            let mut query = format!("limit={PAGE}");
            if !token.is_empty() {
                append(&mut query, "continue", &token);
            }
            let request = Request::get(self.path(&query)).header(header::ACCEPT, accept);
            let answer = self.inner.api.open(request, Bytes::new()).await;
            let answer = match answer {
                // The pages are from a revision that is gone by now: start over.
                Err(error) if error.code() == 410 && !token.is_empty() => {
                    objects.clear();
                    token.clear();
                    continue;
                }
                answer => answer?,
            };
            let body = answer.into_body().collect().await.map_err(|error| Error::Unknown(error.into()))?.to_bytes();
            let page: Page<'_> = serde_json::from_slice(&body).map_err(Error::Unreadable)?;
            objects.reserve(page.items.len());
            for item in page.items {
                objects.push((self.decode)(item).map_err(Error::Unreadable)?);
            }
            token = page.metadata.continue_token.into_owned();
            if token.is_empty() {
                let revision = page.metadata.resource_version.parse().unwrap_or_default();
                self.cache.replace(objects, revision);
                return Ok(());
            }
        }
    }

    async fn watch(&self, failing: &mut Failing<'_>) -> Ended {
        let allowed = self.inner.jitter.spread(WATCH_FOR, 1.0);
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            self.cache.revision(),
            allowed.as_secs()
        );
        let accept = if self.target.metadata_only { METADATA } else { "application/json" };
        let request = Request::get(self.path(&query)).header(header::ACCEPT, accept);
        let reading = async {
            match self.inner.api.open(request, Bytes::new()).await {
                Ok(answer) => {
                    self.cache.heard();
                    failing.ends();
                    self.read(answer.into_body()).await
                }
                Err(error) if error.code() == 410 => Ended::Expired,
                Err(error) => Ended::Failed(error.into()),
            }
        };
        tokio::time::timeout(allowed + WATCH_OVERDUE, reading).await.unwrap_or(Ended::Resume)
    }

    async fn read(&self, mut body: kube::client::Body) -> Ended {
        let mut buffer = BytesMut::new();
        let mut scanned = 0;
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Ended::Failed(error.into()),
            };
            let Ok(data) = frame.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer[scanned..].iter().position(|byte| *byte == b'\n') {
                let line = &buffer[..scanned + end];
                if !line.is_empty()
                    && let Err(ended) = self.line(line)
                {
                    return ended;
                }
                buffer.advance(scanned + end + 1);
                scanned = 0;
            }
            scanned = buffer.len();
            if buffer.is_empty() && buffer.capacity() > 64 << 10 {
                buffer = BytesMut::new();
            }
        }
        Ended::Resume
    }

    fn line(&self, line: &[u8]) -> Result<(), Ended> {
        let change: Line<'_> = serde_json::from_slice(line).map_err(|error| Ended::Failed(error.into()))?;
        let object =
            || (self.decode)(change.object).map_err(|error| Ended::Failed(self.undecodable(change.object, error)));
        match &*change.kind {
            "ADDED" | "MODIFIED" => self.cache.apply(object()?),
            "DELETED" => self.cache.delete(&*object()?),
            "BOOKMARK" => {
                let mark: Identity = parse(change.object)?;
                self.cache.reach(mark.metadata.resource_version.parse().unwrap_or_default());
            }
            "ERROR" => {
                let status: Status = parse(change.object)?;
                let expired = status.code == 410;
                return Err(if expired { Ended::Expired } else { Ended::Failed(status.into()) });
            }
            other => tracing::debug!("unknown watch event {other}"),
        }
        Ok(())
    }

    /// An object that its type cannot hold is named; the watch ends, and comes back to it.
    fn undecodable(&self, object: &RawValue, error: serde_json::Error) -> anyhow::Error {
        let Identity { metadata } = serde_json::from_str(object.get()).unwrap_or_default();
        let key = format!("{} {}/{}", self.target.resource.plural, metadata.namespace, metadata.name);
        anyhow::Error::new(error).context(format!("cannot decode {key}"))
    }

    fn path(&self, query: &str) -> String {
        let target = &self.target;
        let mut path = format!("{}?{query}", target.resource.collection_path(&target.namespace));
        if !target.label_selector.is_empty() {
            append(&mut path, "labelSelector", &target.label_selector);
        }
        if !target.field_selector.is_empty() {
            append(&mut path, "fieldSelector", &target.field_selector);
        }
        path
    }
}

fn parse<'a, T: Deserialize<'a>>(object: &'a RawValue) -> Result<T, Ended> {
    serde_json::from_str(object.get()).map_err(|error| Ended::Failed(error.into()))
}

fn decode<K: Object>(object: &RawValue) -> serde_json::Result<Arc<dyn Cached>> {
    let mut object: K = serde_json::from_str(object.get())?;
    object.slim();
    Ok(Arc::new(object))
}

/// Adds `&name=value`, percent-encoded.
fn append(query: &mut String, name: &str, value: &str) {
    use std::fmt::Write as _;
    query.push('&');
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => query.push(byte as char),
            // Writing to a string cannot fail.
            _ => drop(write!(query, "%{byte:02X}")),
        }
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    metadata: PageMeta<'a>,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, rename = "continue")]
    continue_token: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Identity {
    #[serde(default)]
    metadata: IdentityMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IdentityMeta {
    namespace: String,
    name: String,
    resource_version: String,
}

#[cfg(test)]
mod tests;
