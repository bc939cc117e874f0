//! Who owns the fields of an object that a request writes (`metadata.managedFields`).
//!
//! The rules are in `api_rules::apply`. Here: which manager a request is, and the other versions of an object.

use std::borrow::Cow;

use api_rules::{
    Kind,
    apply::{self, Subject, Typing, Versions},
    value,
};
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
    names::split_api_version,
};
use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::{Call, write::Current};
use crate::core::Core;

/// Bytes of a manager's name.
const MAX_NAME: usize = 128;

/// An object to be written, in the version of the request, with its managedFields beside it.
pub struct New {
    pub value: Value,
    /// JSON; empty if nobody owns anything.
    pub managed: Bytes,
}

/// What a request makes of an object.
pub enum Made {
    /// Whoever asks comes to own what is different.
    Changed(Value),
    /// Its owners are settled already.
    Settled(New),
}

/// Which of the options of a request are looked at: what errors call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    Create,
    Update,
    Patch,
}

impl Call<'_> {
    /// The manager that writes come from: `?fieldManager=`, or what the client calls itself.
    pub fn manager(&self) -> Cow<'_, str> {
        match self.query.get("fieldManager") {
            Some(name) => Cow::Borrowed(name),
            None => {
                let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
                client_name(agent.unwrap_or_default())
            }
        }
    }

    /// Refuses options of a write that cannot be. `applies`: it is a server-side apply.
    pub fn check_options(&self, options: Options, applies: bool) -> Result<(), Status> {
        let errors = option_errors(self.query.get("fieldManager"), self.query.bool("force"), options, applies);
        if errors.is_empty() {
            return Ok(());
        }
        let kind = match options {
            Options::Create => "CreateOptions",
            Options::Update => "UpdateOptions",
            Options::Patch => "PatchOptions",
        };
        Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors))
    }

    /// Tells `then` all that ownership depends on.
    pub fn with_subject<T>(&self, subresource: &str, then: impl FnOnce(Subject) -> T) -> T {
        with_subject(self.core(), &*self.served.kind, &self.served.api_version, subresource, then)
    }

    /// The owners of what `new` is to become. What the request says of them is taken out of `new`; it counts only where
    /// the object itself is written.
    pub fn settle(&self, current: Option<&Current>, mut new: Value) -> New {
        let given = value::remove(&mut new, &["metadata", "managedFields"]);
        let given = given.filter(|_| self.info.subresource.is_empty()).map(|given| given.to_string().into_bytes());
        let stored = current.map_or(Bytes::new(), |current| current.managed.clone());
        let from = match apply::starting_from(given.as_deref(), &stored) {
            Cow::Borrowed(same) if same.len() == stored.len() => stored.clone(),
            other => Bytes::from(other.into_owned()),
        };
        let managed = self.tracked(self.info.subresource, current, &new, from, stored);
        New { value: new, managed }
    }

    /// `from` after the requester made `new` of `current`; `stored` if that cannot be said.
    pub fn tracked(
        &self,
        subresource: &str,
        current: Option<&Current>,
        new: &Value,
        from: Bytes,
        stored: Bytes,
    ) -> Bytes {
        let live = current.map(|current| &current.value);
        let tracked =
            self.with_subject(subresource, |subject| apply::track(subject, &self.manager(), live, new, &from));
        match tracked {
            Ok(None) => from,
            Ok(Some(managed)) => managed.into(),
            Err(error) => {
                let kind = self.served.kind.names().kind;
                tracing::warn!(%error, kind, namespace = self.info.namespace, name = self.info.name, "managedFields are not updated");
                stored
            }
        }
    }
}

/// Tells `then` what the ownership of a kind's objects depends on.
pub fn with_subject<T>(
    core: &Core,
    kind: &dyn Kind,
    api_version: &str,
    subresource: &str,
    then: impl FnOnce(Subject) -> T,
) -> T {
    let typing = kind.typing();
    let resets = apply::resets(kind, &typing, subresource);
    let versions = Served { core, plural: kind.names().plural };
    let now = core.timestamp();
    then(Subject { typing: &typing, api_version, subresource, resets: &resets, versions: &versions, now: &now })
}

fn option_errors(manager: Option<&str>, force: Option<bool>, options: Options, applies: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("fieldManager");
    if options == Options::Patch {
        if applies && manager.is_none() {
            errors.push(FieldError::required(&path, "is required for apply patch"));
        }
        if !applies && force.is_some() {
            errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
    }
    let manager = manager.unwrap_or_default();
    if manager.len() > MAX_NAME {
        errors.push(FieldError::too_long(&path, MAX_NAME));
    }
    for (at, _) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let why = format!("should only contain printable characters (at position {at})");
        errors.push(FieldError::invalid(&path, manager, why));
    }
    errors
}

/// What stands before the first slash of a user agent, as far as it can be printed.
fn client_name(agent: &str) -> Cow<'_, str> {
    let name = agent.split('/').next().unwrap_or_default();
    if name.len() <= MAX_NAME && !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let mut short = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        short.push(c);
    }
    Cow::Owned(short)
}

/// The versions of one resource that are served.
struct Served<'a> {
    core: &'a Core,
    plural: &'static str,
}

impl Versions for Served<'_> {
    fn convert(&self, object: &Value, to: &str) -> Option<(Value, Typing)> {
        let served = |api_version: &str| {
            let (group, version) = split_api_version(api_version);
            self.core.served(group, version, self.plural)
        };
        let (from, to) = (served(object["apiVersion"].as_str()?)?, served(to)?);
        // Kinds of the same name in different groups need not be the same.
        if from.id != to.id {
            return None;
        }
        let converted = to.kind.from_storage(from.kind.to_storage(object.clone()));
        Some((converted, to.kind.typing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients() {
        let check = |agent: &str, expected: &str| assert_eq!(client_name(agent), expected);
        check("kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "kubectl");
        check("curl", "curl");
        check("", "");
        check("a\tb/1", "ab");
        check(&"x".repeat(200), &"x".repeat(128));
    }

    #[test]
    fn options() {
        let check = |manager: Option<&str>, force: Option<bool>, options: Options, applies: bool, expected: &[&str]| {
            let errors = option_errors(manager, force, options, applies);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        };
        check(None, None, Options::Create, false, &[]);
        check(None, None, Options::Patch, true, &["fieldManager: Required value: is required for apply patch"]);
        check(None, Some(true), Options::Patch, false, &["force: Forbidden: may not be specified for non-apply patch"]);
        check(Some("me"), Some(true), Options::Patch, true, &[]);
        check(
            Some("a\u{1}"),
            None,
            Options::Update,
            false,
            &["fieldManager: Invalid value: \"a\\x01\": should only contain printable characters (at position 1)"],
        );
        check(
            Some(&"x".repeat(129)),
            None,
            Options::Update,
            false,
            &["fieldManager: Too long: may not be more than 128 bytes"],
        );
    }
}
