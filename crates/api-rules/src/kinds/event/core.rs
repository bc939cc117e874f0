//! Event as the core group serves it: the form that is stored.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    typed::Resource,
    value,
};

pub struct Event;

impl Resource for Event {
    type Object = v1::Event;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Event",
        list_kind: "EventList",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = super::STORAGE;
    const FIELDS: &'static [&'static str] = &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ];
    const CREATES_ON_UPDATE: bool = true;
    const TIME_TO_LIVE: Option<u64> = super::TIME_TO_LIVE;

    fn validate(object: &v1::Event, errors: &mut Vec<FieldError>) {
        let about = object.involved_object.namespace.as_deref().unwrap_or_default();
        let own = object.metadata.namespace.as_deref().unwrap_or_default();
        let at = Path::new("involvedObject").child("namespace");
        // Events about objects of the cluster lie in the default namespace.
        let fits =
            if about.is_empty() { own.is_empty() || own == "default" || own == "kube-system" } else { about == own };
        if !fits {
            errors.push(FieldError::invalid(&at, about, "does not match event.namespace"));
        }
    }

    fn field(object: &Value, field: &str) -> String {
        let source = || value::text(object, &["source", "component"]).to_owned();
        let reporter = || value::text(object, &["reportingComponent"]).to_owned();
        match field {
            "source" => Some(source()).filter(|s| !s.is_empty()).unwrap_or_else(reporter),
            "reportingComponent" => reporter(),
            _ => value::text(object, &field.split('.').collect::<Vec<_>>()).to_owned(),
        }
    }

    fn cells(object: &v1::Event, now: Timestamp) -> Vec<Value> {
        super::row(object, now)
    }
}
