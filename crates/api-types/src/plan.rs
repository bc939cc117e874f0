//! What a controller's brain answers: the writes it wants, in stages, and what to report once they are done.
//!
//! A plan says nothing of connections, retries or caches: the `client` crate carries it out. Every write names the
//! object it was decided for by uid, and where the decision depends on its content by resourceVersion too.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

use crate::object::{Object, Resource, Watched};

/// Answer of a brain that works one key at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Do(Plan),
    /// The cache is not enough to decide; ask the API, and call again with the answer.
    Need(Target),
}

/// Ordered stages; the first that fails ends the plan, and the key is tried again later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub stages: Vec<Stage>,
    /// Reported after all stages succeeded.
    pub notes: Vec<Note>,
    /// Look again after this time even if nothing changes.
    pub again_in: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub pace: Pace,
    pub steps: Vec<Step>,
}

/// How the steps of one stage follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One after the other, ending at the first failure.
    InOrder,
    /// All at once; every one is tried.
    Together,
    /// 1, 2, 4, … at once, ending with the first batch that has a failure: a quota that refuses the first of a
    /// thousand pods is asked once.
    SlowStart,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub write: Write,
    /// Reported when the write succeeded; the name that the server gave is put in for `{name}`.
    pub done: Option<Note>,
    /// Reported when it failed; the server's message is put in for `{error}`.
    pub failed: Option<Note>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// An object that exists already is an error: its owner may be somebody else.
    Create { resource: Resource, namespace: String, object: Value },
    /// As `Create`, but an existing object is as good.
    Ensure { resource: Resource, namespace: String, object: Value },
    /// The preconditions of the target are sent in the patch's metadata.
    Patch { target: Target, subresource: Option<&'static str>, style: PatchStyle, body: Value },
    /// Writes a whole object (its resourceVersion is the precondition); for objects held in full only.
    Replace { target: Target, subresource: Option<&'static str>, object: Value },
    /// An object that is gone already is a success.
    Delete { target: Target, propagation: Option<Propagation>, grace_seconds: Option<u32> },
    /// POST to a subresource, for example an eviction.
    Post { target: Target, subresource: &'static str, object: Value },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchStyle {
    Merge,
    Strategic,
    Json,
    /// Server-side apply with this field manager.
    Apply(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// An existing object, and which one it must be for the write to happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub resource: Resource,
    /// Empty for objects without a namespace.
    pub namespace: String,
    pub name: String,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// An event to report about an object, in upstream's words.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub regarding: ObjectReference,
    pub warning: bool,
    /// PascalCase, from a constant.
    pub reason: &'static str,
    pub text: String,
}

/// A failed write of the previous plan of the same key; brains show it in conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub verb: Verb,
    pub resource: Resource,
    pub message: String,
    /// HTTP status; 0 when the outcome is unknown.
    pub code: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Patch,
    Update,
    Delete,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty() && self.notes.is_empty()
    }

    /// Adds a stage, unless it has no steps.
    pub fn stage(&mut self, pace: Pace, steps: impl IntoIterator<Item = Step>) {
        let steps: Vec<Step> = steps.into_iter().collect();
        if !steps.is_empty() {
            self.stages.push(Stage { pace, steps });
        }
    }

    pub fn write(&mut self, write: Write) {
        self.stage(Pace::InOrder, [Step::from(write)]);
    }

    /// Look again at the latest after `delay`.
    pub fn again(&mut self, delay: Duration) {
        self.again_in = Some(self.again_in.map_or(delay, |earlier| earlier.min(delay)));
    }

    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.stages.iter().flat_map(|stage| stage.steps.iter().map(|step| &step.write))
    }
}

impl From<Write> for Step {
    fn from(write: Write) -> Self {
        Self { write, done: None, failed: None }
    }
}

impl Step {
    pub fn done(mut self, note: Note) -> Self {
        self.done = Some(note);
        self
    }

    pub fn failed(mut self, note: Note) -> Self {
        self.failed = Some(note);
        self
    }
}

impl Target {
    /// The very object seen: same uid, whatever its content is by now.
    pub fn of<K: Watched>(object: &K) -> Self {
        Self::at(K::RESOURCE, object)
    }

    pub fn at<K: Object>(resource: Resource, object: &K) -> Self {
        Self {
            resource,
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: Some(object.uid().to_owned()),
            resource_version: None,
        }
    }

    pub fn named(resource: Resource, namespace: &str, name: &str) -> Self {
        Self { resource, namespace: namespace.to_owned(), name: name.to_owned(), uid: None, resource_version: None }
    }

    /// Only while it is unchanged since it was seen.
    pub fn unchanged(mut self, resource_version: &str) -> Self {
        self.resource_version = Some(resource_version.to_owned());
        self
    }
}

impl Note {
    pub fn normal(regarding: ObjectReference, reason: &'static str, text: impl Into<String>) -> Self {
        Self { regarding, warning: false, reason, text: text.into() }
    }

    pub fn warning(regarding: ObjectReference, reason: &'static str, text: impl Into<String>) -> Self {
        Self { regarding, warning: true, reason, text: text.into() }
    }
}

impl Write {
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Create { resource, .. } | Self::Ensure { resource, .. } => resource,
            Self::Patch { target, .. }
            | Self::Replace { target, .. }
            | Self::Delete { target, .. }
            | Self::Post { target, .. } => &target.resource,
        }
    }

    pub fn verb(&self) -> Verb {
        match self {
            Self::Create { .. } | Self::Ensure { .. } | Self::Post { .. } => Verb::Create,
            Self::Patch { .. } => Verb::Patch,
            Self::Replace { .. } => Verb::Update,
            Self::Delete { .. } => Verb::Delete,
        }
    }
}

/// The reference by which events and conditions name `object`.
pub fn reference<K: Watched>(object: &K) -> ObjectReference {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectReference {
        api_version: Some(K::RESOURCE.api_version()),
        kind: Some(K::RESOURCE.kind.into_owned()),
        namespace: text(object.namespace()),
        name: text(object.name()),
        uid: text(object.uid()),
        resource_version: text(object.resource_version()),
        field_path: None,
    }
}
