//! What happened, as the test knows it: the truth that every reader is compared with.

use std::collections::BTreeMap;

use store::backend::Revision;

/// What of an object selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub label: &'static str,
    pub node: &'static str,
}

/// A key's object at the revision that wrote it.
pub type State = BTreeMap<String, (Revision, Value)>;

/// Who watches sees a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Everything,
    Namespace(&'static str),
    Label(&'static str),
    Node(&'static str),
    Name(&'static str),
}

impl Selection {
    pub fn matches(self, key: &str, value: &Value) -> bool {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match self {
            Self::Everything => true,
            Self::Namespace(wanted) => namespace == wanted,
            Self::Label(wanted) => value.label == wanted,
            Self::Node(wanted) => value.node == wanted,
            Self::Name(wanted) => name == wanted,
        }
    }
}

struct Change {
    revision: Revision,
    resource: &'static str,
    key: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Type, key and revision of an event.
pub type Expected = (&'static str, String, Revision);

#[derive(Default)]
pub struct History {
    changes: Vec<Change>,
}

impl History {
    /// The newest value of a key.
    fn current(&self, resource: &str, key: &str) -> Option<Value> {
        let mine = |change: &&Change| change.resource == resource && change.key == key;
        self.changes.iter().rev().find(mine).and_then(|change| change.after.clone())
    }

    pub fn record(&mut self, revision: Revision, resource: &'static str, key: &str, after: Option<Value>) {
        let before = self.current(resource, key);
        if before.is_some() || after.is_some() {
            self.changes.push(Change { revision, resource, key: key.to_owned(), before, after });
        }
    }

    pub fn state(&self, resource: &str, selection: Selection, at: Revision) -> State {
        let mut state = State::new();
        for change in self.changes.iter().filter(|change| change.resource == resource && change.revision <= at) {
            match &change.after {
                Some(value) if selection.matches(&change.key, value) => {
                    state.insert(change.key.clone(), (change.revision, value.clone()));
                }
                _ => {
                    state.remove(&change.key);
                }
            }
        }
        state
    }

    /// All events that a watch must see between two revisions, the first excluded.
    pub fn events(
        &self,
        resource: &'static str,
        selection: Selection,
        after: Revision,
        to: Revision,
    ) -> impl Iterator<Item = Expected> {
        let seen = move |key: &str, value: &Option<Value>| value.as_ref().is_some_and(|v| selection.matches(key, v));
        self.changes
            .iter()
            .filter(move |change| change.resource == resource && change.revision > after && change.revision <= to)
            .filter_map(move |change| {
                let kind = match (seen(&change.key, &change.before), seen(&change.key, &change.after)) {
                    (false, false) => return None,
                    (false, true) => "ADDED",
                    (true, true) => "MODIFIED",
                    (true, false) => "DELETED",
                };
                Some((kind, change.key.clone(), change.revision))
            })
    }
}
