//! Event as `events.k8s.io` serves it.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::events::v1,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::convert;
use crate::{
    kind::{Names, Scope, Storage},
    names::{one_of, qualified_name, report},
    typed::Resource,
    value,
};

const REASON_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

pub struct Event;

impl Resource for Event {
    type Object = v1::Event;

    const NAMES: Names = Names {
        group: "events.k8s.io",
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
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ];
    const CREATES_ON_UPDATE: bool = true;
    const TIME_TO_LIVE: Option<u64> = super::TIME_TO_LIVE;
    const STORAGE_VERSION: bool = false;

    fn validate(object: &v1::Event, errors: &mut Vec<FieldError>) {
        // Events of older clients, seen through this group, have no event time and obey older rules.
        if object.event_time.is_none() && object.deprecated_first_timestamp.is_some() {
            return;
        }
        if object.event_time.is_none() {
            errors.push(FieldError::required(&Path::new("eventTime"), ""));
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let controller = text(&object.reporting_controller);
        let at = Path::new("reportingController");
        if controller.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            report(qualified_name(&controller), &at, &controller, errors);
        }
        for (member, given) in [
            ("reportingInstance", text(&object.reporting_instance)),
            ("action", text(&object.action)),
            ("reason", text(&object.reason)),
        ] {
            let at = Path::new(member);
            if given.is_empty() {
                errors.push(FieldError::required(&at, ""));
            } else if given.len() > REASON_MAX {
                errors.push(FieldError::invalid(&at, "", format!("can have at most {REASON_MAX} characters")));
            }
        }
        if text(&object.note).len() > NOTE_MAX {
            errors.push(FieldError::invalid(
                &Path::new("message"),
                "",
                format!("can have at most {NOTE_MAX} characters"),
            ));
        }
        one_of(&text(&object.type_), &["Normal", "Warning"], &Path::new("type"), errors);
    }

    fn validate_update(new: &v1::Event, old: &v1::Event, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let (new, old) = (json!(new), json!(old));
        for member in [
            "regarding",
            "reason",
            "reportingController",
            "reportingInstance",
            "action",
            "note",
            "related",
            "type",
            "eventTime",
        ] {
            if old.get("eventTime").is_some() && new.get(member) != old.get(member) {
                errors.push(FieldError::invalid(
                    &Path::new(member),
                    new.get(member).cloned().unwrap_or_default(),
                    "field is immutable",
                ));
            }
        }
    }

    fn field(object: &Value, field: &str) -> String {
        value::text(object, &field.split('.').collect::<Vec<_>>()).to_owned()
    }

    fn cells(object: &v1::Event, now: Timestamp) -> Vec<Value> {
        let core = convert::to_core(json!(object));
        Deserialize::deserialize(&core).map(|event| super::row(&event, now)).unwrap_or_default()
    }

    fn to_storage(object: Value) -> Value {
        convert::to_core(object)
    }

    fn from_storage(object: Value) -> Value {
        convert::to_events(object)
    }
}
