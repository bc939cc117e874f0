//! Ownership after an ordinary write: who made the object what it is owns the fields that changed.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    Subject,
    compare::{Changes, compare},
    element::Element,
    managers::{self, Entry, Manager, ManagersError, Operation},
    set::Set,
};

/// Why ownership could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    #[error(transparent)]
    Managers(#[from] ManagersError),
    #[error("failed to compare objects: {0}")]
    Compare(String),
}

/// Fields that nobody owns.
static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    let mut paths: Vec<&[&str]> = vec![&["apiVersion"], &["kind"], &["metadata"]];
    paths.extend_from_slice(&[
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ]);
    Set::of_fields(&paths)
});

/// `fields` without those that nobody owns.
pub fn stripped(mut fields: Set) -> Set {
    fields.subtract(&STRIPPED);
    fields
}

/// The managedFields of `new`, which `manager` makes of `live` (`None`: it creates it), as JSON; `None` if they stay as
/// `managed` has them. An existing object that nobody owns anything of is not tracked.
pub fn track(
    subject: Subject,
    manager: &str,
    live: Option<&Value>,
    new: &Value,
    managed: &[u8],
) -> Result<Option<Vec<u8>>, TrackError> {
    if live.is_some() && managed.is_empty() {
        return Ok(None);
    }
    let changes = changes(subject, live, new)?;
    if changes.is_empty() {
        return Ok(None);
    }
    let own = identity(subject, manager, Operation::Update);
    let texts = texts_of(&changes);
    let entries = managers::read_those(managed, |manager, fields| {
        manager.api_version != subject.api_version
            || manager.is(&own)
            || texts.iter().any(|text| fields.contains(text.as_str()))
    })?;
    if live.is_some() && entries.is_empty() {
        return Ok(None);
    }
    let mut entries = updated(subject, manager, live, new, entries, changes)?;
    managers::cap(&mut entries);
    Ok(Some(managers::write(&mut entries)))
}

/// What the JSON of fields contains if it has any of the changes: their outermost elements.
fn texts_of(changes: &Changes) -> Vec<String> {
    let nodes = changes.written.nodes().iter().chain(changes.removed.nodes());
    let text = |element: &Element| {
        let mut text = Vec::new();
        element.write(&mut text);
        String::from_utf8(text).expect("JSON is UTF-8")
    };
    nodes.map(|node| text(&node.element)).collect()
}

fn changes(subject: Subject, live: Option<&Value>, new: &Value) -> Result<Changes, TrackError> {
    let changes = compare(subject.typing.root(), live, new).map_err(TrackError::Compare)?;
    Ok(changes.without(subject.resets))
}

/// The entries after everything in `object` has become `manager`'s.
pub fn claimed(subject: Subject, manager: &str, object: &Value) -> Result<Vec<Entry>, TrackError> {
    let changes = changes(subject, None, object)?;
    updated(subject, manager, None, object, Vec::new(), changes)
}

fn updated(
    subject: Subject,
    manager: &str,
    live: Option<&Value>,
    new: &Value,
    mut entries: Vec<Entry>,
    changes: Changes,
) -> Result<Vec<Entry>, TrackError> {
    fit(subject, &mut entries);
    let mut versions = ChangesByVersion::new(subject, live, new, &changes);
    let mut failed = None;
    entries.retain_mut(|entry| match versions.of(&entry.manager.api_version) {
        Ok(Some(changes)) => {
            entry.lose(&changes.written);
            entry.lose(&changes.removed);
            true
        }
        Ok(None) => false,
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let own = stripped(changes.written);
    if !own.is_empty() {
        let manager = identity(subject, manager, Operation::Update);
        match entries.iter_mut().find(|entry| entry.manager.is(&manager)) {
            Some(entry) => {
                entry.gain(&own);
                entry.time = Some(subject.now.to_owned());
            }
            None => entries.push(Entry::new(manager, Some(subject.now.to_owned()), own)),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    Ok(entries)
}

/// Brings entries of the request's version in line with its schema, which may have changed since.
pub fn fit(subject: Subject, entries: &mut [Entry]) {
    let root = subject.typing.root();
    entries
        .iter_mut()
        .filter(|entry| entry.manager.api_version == subject.api_version)
        .for_each(|entry| entry.fit(root));
}

pub fn identity(subject: Subject, name: &str, operation: Operation) -> Manager {
    Manager {
        name: if name.is_empty() { "unknown" } else { name }.to_owned(),
        operation,
        api_version: subject.api_version.to_owned(),
        subresource: subject.subresource.to_owned(),
    }
}

/// The same change as each version of the object shows it.
pub struct ChangesByVersion<'a> {
    subject: Subject<'a>,
    live: Option<&'a Value>,
    new: &'a Value,
    own: &'a Changes,
    others: Vec<(String, Option<Changes>)>,
}

impl<'a> ChangesByVersion<'a> {
    /// `own` is the change in the version of the request.
    pub fn new(subject: Subject<'a>, live: Option<&'a Value>, new: &'a Value, own: &'a Changes) -> Self {
        Self { subject, live, new, own, others: Vec::new() }
    }

    /// `None` if the version is not served any more.
    pub fn of(&mut self, api_version: &str) -> Result<Option<&Changes>, TrackError> {
        if api_version == self.subject.api_version {
            return Ok(Some(self.own));
        }
        if let Some(at) = self.others.iter().position(|(version, _)| version == api_version) {
            return Ok(self.others[at].1.as_ref());
        }
        let changes = self.converted(api_version)?;
        self.others.push((api_version.to_owned(), changes));
        Ok(self.others.last().and_then(|(_, changes)| changes.as_ref()))
    }

    fn converted(&self, api_version: &str) -> Result<Option<Changes>, TrackError> {
        let versions = self.subject.versions;
        let Some((new, typing)) = versions.convert(self.new, api_version) else { return Ok(None) };
        let live = match self.live {
            Some(live) => match versions.convert(live, api_version) {
                Some((live, _)) => Some(live),
                None => return Ok(None),
            },
            None => None,
        };
        let changes = compare(typing.root(), live.as_ref(), &new).map_err(TrackError::Compare)?;
        Ok(Some(changes.without(self.subject.resets)))
    }
}
