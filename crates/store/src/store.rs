//! The store: reads that are as fresh as asked for, pages at one revision, watches, and transactions.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio_util::task::AbortOnDropHandle;

use crate::{
    backend::{Backend, BackendError, KeyValue, Outcome, Range, Revision, Transaction},
    cache::{Cache, ResourceRef, Snapshot},
    compactor, feed,
    freshness::Freshness as Newest,
    leases::Leases,
    metrics,
    object::{DecodeError, Object, Rewrite, unreadable},
    resource::{Filter, Resource},
    watcher::{Initial, Watcher},
};

/// Objects read from the backend at once.
const PAGE: i64 = 500;
/// How long a read waits for a revision from the future.
const FUTURE_LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct Options {
    /// `/registry`
    pub prefix: String,
    /// Bytes of all logs of recent changes together.
    pub log_limit: usize,
    pub compaction_interval: Duration,
    /// Turns what another writer stored in a form that is no JSON into JSON.
    pub rewrite: Rewrite,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "/registry".into(),
            log_limit: 16 << 20,
            compaction_interval: compactor::INTERVAL,
            rewrite: unreadable,
        }
    }
}

/// How new the answer of a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever is at hand (`resourceVersion=0`).
    Any,
    /// Not older than this revision.
    AtLeast(Revision),
    /// Everything acknowledged before the read began.
    Latest,
}

/// The state a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAt {
    Fresh(Freshness),
    /// Exactly this revision: a further page, or `resourceVersionMatch=Exact`.
    Exact(Revision),
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the changes after this revision.
    Revision(Revision),
    /// With the present objects as ADDED, then their changes.
    State(Freshness),
    /// With the changes from now on.
    Now(Freshness),
}

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The revision asked for is no longer there.
    #[error("the revision is too old")]
    Expired,
    /// The revision asked for did not come in time.
    #[error("the revision {wanted} is in the future, the storage is at {current}")]
    Future { wanted: Revision, current: Revision },
    #[error("a stored object cannot be read")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<feed::FeedError> for StoreError {
    fn from(error: feed::FeedError) -> Self {
        match error {
            feed::FeedError::Backend(error) => error.into(),
            feed::FeedError::Decode(error) => error.into(),
        }
    }
}

pub struct Store {
    backend: Arc<dyn Backend>,
    cache: Arc<Cache>,
    newest: Arc<Newest>,
    leases: Leases,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Store {
    /// Starts to load; [`Store::ready`] tells when it is done. Must be called within a tokio runtime.
    pub fn start(backend: Arc<dyn Backend>, resources: Vec<Resource>, options: Options) -> Arc<Self> {
        let cache = Arc::new(Cache::new(&options.prefix, resources, options.log_limit, options.rewrite));
        let feed = tokio::spawn(feed::run(backend.clone(), cache.clone()));
        let compactor =
            tokio::spawn(compactor::run(backend.clone(), cache.prefix().to_owned(), options.compaction_interval));
        Arc::new(Self {
            newest: Newest::new(backend.clone(), cache.clone()),
            leases: Leases::default(),
            _tasks: [AbortOnDropHandle::new(feed), AbortOnDropHandle::new(compactor)],
            backend,
            cache,
        })
    }

    /// Resolves when the cache has been loaded.
    pub async fn ready(&self) {
        self.cache.reached(1).await;
    }

    pub fn is_ready(&self) -> bool {
        self.cache.revision() > 0
    }

    /// The revision of the cache.
    pub fn revision(&self) -> Revision {
        self.cache.revision()
    }

    /// Watches can begin at this revision of the cache or later ones.
    pub fn oldest(&self, id: &ResourceRef) -> Revision {
        id.lock().log.lost()
    }

    /// The resource that lies in a folder.
    pub fn find(&self, folder: &str) -> Option<ResourceRef> {
        self.cache.find(folder)
    }

    /// Takes in another resource, and reads what is there of it. A resource of the same folder goes on beside it until it
    /// is [removed](Self::remove).
    pub async fn add(&self, resource: Resource) -> Result<ResourceRef, StoreError> {
        self.await_freshness(Freshness::Any).await?;
        let entering = Entering { cache: &self.cache, table: self.cache.add(resource), filled: false };
        entering.fill(self).await
    }

    /// Takes out a resource: its watches end with 410, and its memory is given back.
    pub fn remove(&self, id: &ResourceRef) {
        self.cache.remove(id);
    }

    pub fn key(&self, id: &ResourceRef, namespace: &str, name: &str) -> String {
        self.cache.key(id, namespace, name)
    }

    /// The full key of something that is no resource, under the store's prefix.
    pub fn other_key(&self, path: &str) -> String {
        format!("{}{path}", self.cache.prefix())
    }

    /// Whether etcd answers.
    pub async fn ping(&self) -> Result<(), BackendError> {
        self.backend.revision().await.map(|_| ())
    }

    /// The object as the cache has it now. `namespace` is empty in cluster scope.
    pub fn cached(&self, id: &ResourceRef, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.look(id, namespace, name).flatten()
    }

    /// What the cache says of an object; `None` if the resource has been taken out of it.
    fn look(&self, id: &ResourceRef, namespace: &str, name: &str) -> Option<Option<Arc<Object>>> {
        let state = id.lock();
        if !state.is_open() {
            return None;
        }
        if namespace.is_empty() {
            return Some(state.objects.get(name).cloned());
        }
        let mut key = String::with_capacity(namespace.len() + name.len() + 1);
        key.push_str(namespace);
        key.push('/');
        key.push_str(name);
        Some(state.objects.get(&key).cloned())
    }

    /// All objects as the cache has them now; `None` for a resource that is not cached.
    pub fn snapshot(&self, id: &ResourceRef) -> Option<Snapshot> {
        if !id.resource.cached {
            return None;
        }
        let state = id.lock();
        state.is_open().then(|| state.objects.clone())
    }

    pub async fn get(
        &self,
        id: &ResourceRef,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<Object>>, StoreError> {
        if !id.resource.cached {
            return self.get_stored(id, namespace, name).await;
        }
        self.await_freshness(freshness).await?;
        match self.look(id, namespace, name) {
            Some(found) => Ok(found),
            None => self.get_stored(id, namespace, name).await,
        }
    }

    /// The object as etcd has it now, past the cache.
    pub async fn get_stored(
        &self,
        id: &ResourceRef,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, StoreError> {
        let found = self.backend.range(Range::key(&self.key(id, namespace, name))).await?;
        found.items.first().map(|kv| self.decode(id, kv)).transpose()
    }

    /// The object in a value that was stored or refused.
    pub fn decode(&self, id: &ResourceRef, stored: &KeyValue) -> Result<Arc<Object>, StoreError> {
        let folder = self.key(id, "", "");
        let key = stored.key.strip_prefix(&folder).unwrap_or(&stored.key);
        Ok(Arc::new(Object::decode(key, stored, id.extractor())?))
    }

    /// The state of a resource to list: one namespace, or all, from the key `from` on.
    pub async fn list(
        &self,
        id: &ResourceRef,
        namespace: Option<&str>,
        from: Option<&str>,
        at: ListAt,
    ) -> Result<List, StoreError> {
        if !id.resource.cached {
            return self.list_stored(id, namespace, from, at).await;
        }
        let revision = match at {
            ListAt::Fresh(freshness) => {
                self.await_freshness(freshness).await?;
                None
            }
            ListAt::Exact(revision) => {
                self.await_freshness(Freshness::AtLeast(revision)).await?;
                Some(revision)
            }
        };
        let held = {
            let state = id.lock();
            let present = self.cache.revision();
            match revision {
                _ if !state.is_open() => None,
                None => Some((state.objects.clone(), present)),
                Some(wanted) if wanted < self.cache.compacted() => return Err(StoreError::Expired),
                Some(wanted) => state.at(wanted, present).map(|snapshot| (snapshot, wanted)),
            }
        };
        match held {
            Some((snapshot, revision)) => Ok(List {
                revision,
                source: Source::Snapshot(snapshot),
                namespace: namespace.map(str::to_owned),
                from: from.map(str::to_owned),
            }),
            None => self.list_stored(id, namespace, from, at).await,
        }
    }

    async fn list_stored(
        &self,
        id: &ResourceRef,
        namespace: Option<&str>,
        from: Option<&str>,
        at: ListAt,
    ) -> Result<List, StoreError> {
        let folder = self.key(id, namespace.unwrap_or(""), "");
        let mut range = Range { limit: PAGE, ..Range::prefix(&folder) };
        if let ListAt::Exact(revision) = at {
            range.revision = revision;
        }
        if let Some(from) = from {
            // Neither the resource nor the namespace is left.
            range.start = range.start.max(format!("{}{from}", self.key(id, "", ""))).min(range.end.clone());
        }
        let first = self.backend.range(range.clone()).await.map_err(|error| self.expired(error, range.revision))?;
        if range.revision == 0 {
            range.revision = first.revision;
        }
        let mut list = List {
            revision: range.revision,
            namespace: namespace.map(str::to_owned),
            from: from.map(str::to_owned),
            source: Source::Snapshot(Snapshot::default()),
        };
        let mut pages = Pages { id: id.clone(), range, ready: VecDeque::new(), more: first.more, count: first.count };
        pages.take(self, &first.items)?;
        list.source = Source::Stored(pages);
        Ok(list)
    }

    fn expired(&self, error: BackendError, wanted: Revision) -> StoreError {
        match error {
            BackendError::Compacted { .. } => StoreError::Expired,
            BackendError::FutureRevision => StoreError::Future { wanted, current: self.revision() },
            other => other.into(),
        }
    }

    /// Keeps what `list` shows, so that its next pages need not be read from etcd.
    pub fn keep_page(&self, id: &ResourceRef, list: &List) {
        if let Source::Snapshot(snapshot) = &list.source {
            id.lock().keep_page(list.revision, snapshot.clone());
        }
    }

    pub async fn watch(&self, id: &ResourceRef, filter: Filter, from: WatchFrom) -> Result<Watcher, StoreError> {
        let (freshness, with_state) = match from {
            WatchFrom::Revision(_) => (Freshness::Any, false),
            WatchFrom::State(freshness) => (freshness, true),
            WatchFrom::Now(freshness) => (freshness, false),
        };
        let listed = if with_state && !id.resource.cached {
            Some(self.list_matching(id, &filter).await?)
        } else {
            self.await_freshness(freshness).await?;
            None
        };
        let mut state = id.lock();
        let present = self.cache.revision();
        let (after, initial) = match (listed, from) {
            (Some((revision, objects)), _) => (revision, Initial::Listed(objects)),
            (None, WatchFrom::State(_)) => (present, Initial::Cached(state.objects.clone())),
            (None, WatchFrom::Now(_)) => (present, Initial::Nothing),
            (None, WatchFrom::Revision(revision)) => (revision, Initial::Nothing),
        };
        if !state.is_open() || !state.log.reaches_back_to(after) {
            return Err(StoreError::Expired);
        }
        Ok(Watcher::start(self.cache.clone(), self.backend.clone(), id.clone(), filter, after, initial, &mut state))
    }

    async fn list_matching(
        &self,
        id: &ResourceRef,
        filter: &Filter,
    ) -> Result<(Revision, VecDeque<Arc<Object>>), StoreError> {
        let at = ListAt::Fresh(Freshness::Latest);
        let mut list = self.list_stored(id, filter.namespace.as_deref(), None, at).await?;
        let selects = &id.resource.selects;
        let mut objects = VecDeque::new();
        loop {
            let chunk = list.chunk(self, PAGE as usize).await?;
            if chunk.is_empty() {
                return Ok((list.revision, objects));
            }
            objects.extend(chunk.into_iter().filter(|object| filter.matches(object, selects)));
        }
    }

    /// All or nothing, at one revision.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let timer = metrics::ETCD_DURATION.with_label_values(&["txn"]).start_timer();
        let outcome = self.backend.commit(transaction).await;
        timer.observe_duration();
        Ok(outcome?)
    }

    /// A lease for an object that is to live `seconds`.
    pub async fn lease(&self, seconds: i64) -> Result<i64, StoreError> {
        Ok(self.leases.take(&*self.backend, seconds).await?)
    }

    /// A lease of its own that ends after `seconds`, for a sign of life.
    pub async fn short_lease(&self, seconds: i64) -> Result<i64, StoreError> {
        Ok(self.backend.grant(seconds).await?)
    }

    /// The keys below a folder that is no resource's, without the folder, as etcd has them now.
    pub async fn keys_below(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.other_key(folder);
        let found = self.backend.range(Range::prefix(&folder)).await?;
        Ok(found.items.iter().filter_map(|kv| kv.key.strip_prefix(&folder)).map(str::to_owned).collect())
    }

    async fn await_freshness(&self, freshness: Freshness) -> Result<(), StoreError> {
        if !self.is_ready() && tokio::time::timeout(FUTURE_LIMIT, self.ready()).await.is_err() {
            return Err(BackendError::Unavailable("the cache has not been loaded".into()).into());
        }
        match freshness {
            Freshness::Any => {}
            Freshness::Latest => {
                self.newest.latest().await?;
            }
            Freshness::AtLeast(wanted) if self.revision() >= wanted => {}
            Freshness::AtLeast(wanted) => {
                let newest = self.newest.latest().await?;
                if newest < wanted && tokio::time::timeout(FUTURE_LIMIT, self.cache.reached(wanted)).await.is_err() {
                    return Err(StoreError::Future { wanted, current: self.revision() });
                }
            }
        }
        Ok(())
    }
}

/// A resource that is being read. Given up, it is taken out again.
struct Entering<'a> {
    cache: &'a Cache,
    table: ResourceRef,
    filled: bool,
}

impl Entering<'_> {
    async fn fill(mut self, store: &Store) -> Result<ResourceRef, StoreError> {
        while !self.filled {
            let (revision, objects) = feed::read(&*store.backend, self.cache, &self.table, 0).await?;
            store.newest.reach(revision).await?;
            self.filled = self.cache.fill(&self.table, objects, revision);
        }
        Ok(self.table.clone())
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.cache.remove(&self.table);
        }
    }
}

/// The least key greater than `key`.
pub fn next_key(key: &str) -> String {
    format!("{key}\0")
}

/// The objects of a resource at one revision, in key order, handed out one by one.
pub struct List {
    pub revision: Revision,
    namespace: Option<String>,
    /// The least key that has not been handed out.
    from: Option<String>,
    source: Source,
}

enum Source {
    Snapshot(Snapshot),
    Stored(Pages),
}

struct Pages {
    id: ResourceRef,
    range: Range,
    ready: VecDeque<Arc<Object>>,
    more: bool,
    /// Keys from where the list began.
    count: i64,
}

impl Pages {
    fn take(&mut self, store: &Store, items: &[KeyValue]) -> Result<(), StoreError> {
        if let Some(last) = items.last() {
            self.range.start = next_key(&last.key);
        }
        for item in items {
            self.ready.push_back(store.decode(&self.id, item)?);
        }
        Ok(())
    }
}

impl List {
    /// The next objects, at most `limit`; none at the end. From the cache this never waits.
    pub async fn chunk(&mut self, store: &Store, limit: usize) -> Result<Vec<Arc<Object>>, StoreError> {
        let pages = match &mut self.source {
            Source::Snapshot(snapshot) => {
                let rest = snapshot.range(self.namespace.as_deref(), self.from.as_deref());
                let objects: Vec<_> = rest.take(limit).cloned().collect();
                if let Some(last) = objects.last() {
                    self.from = Some(next_key(last.key()));
                }
                return Ok(objects);
            }
            Source::Stored(pages) => pages,
        };
        if pages.ready.is_empty() && pages.more {
            let wanted = pages.range.revision;
            let page = store.backend.range(pages.range.clone()).await.map_err(|e| store.expired(e, wanted))?;
            pages.more = page.more;
            pages.take(store, &page.items)?;
        }
        let count = pages.ready.len().min(limit);
        Ok(pages.ready.drain(..count).collect())
    }

    /// What has not been handed out, as far as it is in memory.
    pub fn rest(&self) -> impl Iterator<Item = &Arc<Object>> {
        let (snapshot, read) = match &self.source {
            Source::Snapshot(snapshot) => (Some(snapshot), None),
            Source::Stored(pages) => (None, Some(&pages.ready)),
        };
        let held = snapshot.map(|snapshot| snapshot.range(self.namespace.as_deref(), self.from.as_deref()));
        held.into_iter().flatten().chain(read.into_iter().flatten())
    }

    /// The snapshot behind this list, if it comes from the cache.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match &self.source {
            Source::Snapshot(snapshot) => Some(snapshot),
            Source::Stored(_) => None,
        }
    }

    /// How many objects there are from the key `next` on, `passed` of this list being before it, whatever a selector
    /// says of them.
    pub fn remaining(&self, next: &str, passed: i64) -> i64 {
        match &self.source {
            Source::Snapshot(snapshot) => snapshot.range(self.namespace.as_deref(), Some(next)).count() as i64,
            Source::Stored(pages) => pages.count - passed,
        }
    }
}
