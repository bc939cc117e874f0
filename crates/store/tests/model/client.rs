//! A client as the API knows them: it lists, watches from there, and lists again when it is told that it fell behind. With
//! every step it compares what it sees with the history.

use std::time::Duration;

use api_types::selector::{FieldSelector, Selector};
use store::{
    Event, EventType, Filter, Freshness, ListAt, Step, Store, StoreError, WatchError, WatchFrom, Watcher,
    backend::Revision,
};
use tokio::time::timeout;

use crate::history::{History, Selection, State, Value};

pub struct Client {
    pub resource: &'static str,
    selection: Selection,
    state: State,
    /// Everything up to here has been seen.
    seen: Revision,
    /// What a bookmark said: nothing up to here comes any more.
    promised: Revision,
    watcher: Option<Watcher>,
    /// How often it had to list again because it fell behind.
    pub expired: usize,
}

impl Client {
    pub fn new(resource: &'static str, selection: Selection) -> Self {
        let (state, seen, promised, watcher, expired) = (State::new(), 0, 0, None, 0);
        Self { resource, selection, state, seen, promised, watcher, expired }
    }

    fn filter(&self) -> Filter {
        let fields = |text: String| Filter { fields: FieldSelector::parse(&text).unwrap(), ..Filter::default() };
        match self.selection {
            Selection::Everything => Filter::everything(),
            Selection::Namespace(namespace) => Filter::namespace(namespace),
            Selection::Label(label) => {
                Filter { labels: Selector::parse(&format!("app={label}")).unwrap(), ..Filter::default() }
            }
            Selection::Node(node) => fields(format!("spec.nodeName={node}")),
            Selection::Name(name) => fields(format!("metadata.name={name}")),
        }
    }

    /// The connection is gone; the client goes on from what it has seen.
    pub fn disconnect(&mut self) {
        self.watcher = None;
    }

    /// Reads at most `steps` steps of its watch, as far as there are any. False if the server could not be asked.
    pub async fn read(&mut self, store: &Store, history: &History, steps: usize) -> bool {
        for _ in 0..steps {
            if self.watcher.is_none() && !self.connect(store, history).await {
                return false;
            }
            let Some(watcher) = &mut self.watcher else { return false };
            match timeout(Duration::from_millis(1), watcher.next()).await {
                Err(_) => return true,
                Ok(Ok(Step::Events(events))) => self.apply(&events, history),
                Ok(Ok(Step::Synced(_))) => {}
                Ok(Err(WatchError::Expired)) => self.expire(),
                Ok(Err(WatchError::Backend(_))) => self.watcher = None,
            }
        }
        true
    }

    fn expire(&mut self) {
        self.expired += 1;
        self.watcher = None;
        self.seen = 0;
    }

    async fn connect(&mut self, store: &Store, history: &History) -> bool {
        if self.seen == 0 && !self.list(store, history).await {
            return false;
        }
        let id = store.find(self.resource).unwrap();
        match store.watch(&id, self.filter(), WatchFrom::Revision(self.seen)).await {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(StoreError::Expired) => {
                self.expire();
                return Box::pin(self.connect(store, history)).await;
            }
            Err(_) => return false,
        }
        true
    }

    /// A list is the state of its revision, and revisions never go back.
    async fn list(&mut self, store: &Store, history: &History) -> bool {
        let Some((revision, state)) = list(store, self.resource, &self.filter()).await else { return false };
        assert!(revision >= self.promised, "the list went back from {} to {revision}", self.promised);
        assert_eq!(state, history.state(self.resource, self.selection, revision), "a list of {revision}");
        (self.seen, self.promised, self.state) = (revision, revision, state);
        true
    }

    /// What came is what happened since, up to a whole revision: the client may go on from it.
    fn apply(&mut self, events: &[Event], history: &History) {
        let found: Vec<_> = events.iter().map(|e| (e.kind.as_str(), e.object.key().to_owned(), e.revision)).collect();
        let to = events.last().map_or(self.seen, |last| last.revision);
        let expected: Vec<_> = history.events(self.resource, self.selection, self.seen, to).collect();
        assert_eq!(found, expected, "{} {:?} after {}", self.resource, self.selection, self.seen);
        assert!(events.iter().all(|event| event.revision > self.promised), "after a bookmark of {}", self.promised);
        for event in events {
            let key = event.object.key();
            match event.kind {
                EventType::Deleted => drop(self.state.remove(key)),
                EventType::Added | EventType::Modified => {
                    self.state.insert(key.to_owned(), (event.revision, value_of(&event.object)));
                }
            }
        }
        self.seen = to;
    }

    /// A bookmark promises that everything up to it has been seen.
    pub fn bookmark(&mut self, history: &History) {
        let Some(watcher) = &mut self.watcher else { return };
        let position = watcher.position();
        let missing: Vec<_> = history.events(self.resource, self.selection, self.seen, position).collect();
        assert!(missing.is_empty(), "a bookmark of {position} left out {missing:?}");
        self.promised = self.promised.max(position);
        self.seen = self.seen.max(position);
    }

    /// Reads to the end; then it must have the newest state.
    pub async fn settle(&mut self, store: &Store, history: &History, newest: Revision) {
        for _ in 0..1000 {
            assert!(self.read(store, history, 1000).await, "the server does not answer");
            if self.watcher.is_some() && self.seen <= newest {
                let wanted = history.state(self.resource, self.selection, newest);
                if self.state == wanted {
                    return;
                }
            }
        }
        let wanted = history.state(self.resource, self.selection, newest);
        assert_eq!(self.state, wanted, "{} {:?} seen to {}", self.resource, self.selection, self.seen);
    }
}

pub async fn list(store: &Store, resource: &str, filter: &Filter) -> Option<(Revision, State)> {
    let id = store.find(resource).unwrap();
    let at = ListAt::Fresh(Freshness::Latest);
    let mut list = store.list(&id, filter.namespace.as_deref(), None, at).await.ok()?;
    let mut state = State::new();
    loop {
        let chunk = list.chunk(store, 2).await.ok()?;
        if chunk.is_empty() {
            return Some((list.revision, state));
        }
        for object in chunk.iter().filter(|object| filter.matches(object, &id.resource.selects)) {
            state.insert(object.key().to_owned(), (object.revision(), value_of(object)));
        }
    }
}

pub fn value_of(object: &store::Object) -> Value {
    let json = object.value();
    let known = |text: &serde_json::Value| match text.as_str() {
        Some("x") => "x",
        Some("y") => "y",
        Some("n1") => "n1",
        Some("n2") => "n2",
        _ => "",
    };
    Value { label: known(&json["metadata"]["labels"]["app"]), node: known(&json["spec"]["nodeName"]) }
}
