//! Tables in the manner of upstream's: an object, who owns what, a write, and what becomes of both.

mod merging;
mod ownership;
mod properties;
mod tracking;

use serde_json::{Value, json};

use super::{Applied, ApplyError, OneVersion, Set, Subject, Typing, apply, conflict_status, resets, track};
use crate::kinds;

/// An object as it stands, with its managedFields.
#[derive(Clone, Default)]
struct State {
    object: Option<Value>,
    managed: Vec<u8>,
    /// Seconds since the beginning.
    now: u32,
}

/// A kind's objects: group, version, plural.
const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "deployments");
const CONFIG_MAP: (&str, &str, &str) = ("", "v1", "configmaps");

fn typing(kind: (&str, &str, &str)) -> Typing {
    kinds::find(kind.0, kind.1, kind.2).unwrap().typing()
}

impl State {
    fn with_subject<T>(&self, kind: (&str, &str, &str), subresource: &str, then: impl FnOnce(Subject) -> T) -> T {
        let kind = kinds::find(kind.0, kind.1, kind.2).unwrap();
        let (typing, api_version) = (kind.typing(), kind.names().api_version());
        let (resets, now) = (resets(kind, &typing, subresource), format!("2026-01-01T00:00:{:02}Z", self.now));
        then(Subject {
            typing: &typing,
            api_version: &api_version,
            subresource,
            resets: &resets,
            versions: &OneVersion,
            now: &now,
        })
    }

    #[track_caller]
    fn update(&mut self, kind: (&str, &str, &str), manager: &str, new: Value) -> &mut Self {
        self.now += 1;
        let tracked = self.with_subject(kind, "", |subject| {
            track(subject, manager, self.object.as_ref(), &new, &self.managed).unwrap()
        });
        self.managed = tracked.unwrap_or_else(|| self.managed.clone());
        self.object = Some(new);
        self
    }

    fn try_apply(
        &mut self,
        kind: (&str, &str, &str),
        manager: &str,
        force: bool,
        config: Value,
    ) -> Result<(), ApplyError> {
        self.now += 1;
        let Applied { object, managed } = self.with_subject(kind, "", |subject| {
            apply(subject, manager, force, self.object.as_ref(), &config, &self.managed)
        })?;
        (self.object, self.managed) = (Some(object), managed);
        Ok(())
    }

    #[track_caller]
    fn apply(&mut self, kind: (&str, &str, &str), manager: &str, config: Value) -> &mut Self {
        self.try_apply(kind, manager, false, config).unwrap();
        self
    }

    #[track_caller]
    fn force(&mut self, kind: (&str, &str, &str), manager: &str, config: Value) -> &mut Self {
        self.try_apply(kind, manager, true, config).unwrap();
        self
    }

    /// The message of the conflict that an apply meets.
    #[track_caller]
    fn conflict(&mut self, kind: (&str, &str, &str), manager: &str, config: Value) -> String {
        match self.try_apply(kind, manager, false, config) {
            Err(ApplyError::Conflicts(conflicts)) => conflict_status(conflicts).message,
            other => panic!("{other:?}"),
        }
    }

    fn object(&self) -> &Value {
        self.object.as_ref().unwrap()
    }

    fn entries(&self) -> Vec<Value> {
        if self.managed.is_empty() { Vec::new() } else { serde_json::from_slice(&self.managed).unwrap() }
    }

    /// The fields of a manager as JSON text, `None` if it has none.
    fn owned(&self, manager: &str) -> Option<String> {
        let entry = self.entries().into_iter().find(|entry| entry["manager"] == manager)?;
        Some(entry["fieldsV1"].to_string())
    }

    fn managers(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.entries().iter().map(|e| format!("{} {}", text(&e["manager"]), text(&e["operation"]))).collect()
    }
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "n"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

fn containers(containers: Value) -> Value {
    deployment(json!({"template": {"spec": {"containers": containers}}}))
}

fn set(json: &str) -> Set {
    super::fields_v1::parse(json).unwrap()
}
