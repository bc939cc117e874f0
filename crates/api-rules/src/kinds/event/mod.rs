//! Event: what happened to an object. Two groups serve it, `events.k8s.io/v1` and the older core; both read and write
//! the same stored objects, which have the core's form.

mod convert;
pub mod core;
pub mod events;

use api_types::k8s_openapi::api::core::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::Storage,
    table::{cells, duration},
};

/// Both groups keep their objects here. Events pass through the log, but a cache of them would only cost memory.
const STORAGE: Option<Storage> = Some(Storage { prefix: "events", cached: false });
/// Events are forgotten after an hour.
const TIME_TO_LIVE: Option<u64> = Some(3600);

fn row(event: &v1::Event, now: Timestamp) -> Vec<Value> {
    let micro =
        |t: &Option<api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime>| t.as_ref().map(|t| t.0);
    let first = event.first_timestamp.as_ref().map(|t| t.0).or_else(|| micro(&event.event_time));
    let mut last = event.last_timestamp.as_ref().map(|t| t.0).or(first);
    let mut count = event.count.filter(|n| *n != 0).unwrap_or(1);
    if let Some(series) = &event.series {
        last = micro(&series.last_observed_time);
        count = series.count.unwrap_or(0);
    }
    let object = &event.involved_object;
    let kind = object.kind.as_deref().unwrap_or_default().to_lowercase();
    let target = match object.name.as_deref() {
        None | Some("") => kind,
        Some(name) => format!("{kind}/{name}"),
    };
    let text = |text: &Option<String>| Value::from(text.clone().unwrap_or_default());
    vec![
        duration::since(last, now).into(),
        text(&event.type_),
        text(&event.reason),
        target.into(),
        text(&object.field_path),
        source(event).into(),
        event.message.as_deref().unwrap_or_default().trim().into(),
        duration::since(first, now).into(),
        count.into(),
        cells::name(&event.metadata),
    ]
}

fn source(event: &v1::Event) -> String {
    let old = event.source.clone().unwrap_or_default();
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let who = given(old.component).or_else(|| given(event.reporting_component.clone()));
    let whence = given(old.host).or_else(|| given(event.reporting_instance.clone()));
    [who, whence].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
