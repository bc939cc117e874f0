//! The two forms of an Event have the same members under other names.

use serde_json::{Map, Value};

/// The name in the core group, and in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

pub fn to_core(object: Value) -> Value {
    rename(object, "v1", |name| NAMES.iter().find(|(_, events)| *events == name).map(|(core, _)| *core))
}

pub fn to_events(object: Value) -> Value {
    rename(object, "events.k8s.io/v1", |name| NAMES.iter().find(|(core, _)| *core == name).map(|(_, events)| *events))
}

fn rename(object: Value, version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(members) = object else { return object };
    let mut out: Map<String, Value> =
        members.into_iter().map(|(name, value)| (other(&name).map_or(name, str::to_owned), value)).collect();
    out.insert("apiVersion".into(), version.into());
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"},
            "message": "m", "source": {"component": "c"}, "count": 2, "firstTimestamp": "2024-01-01T00:00:00Z", "reason": "R"});
        let events = to_events(core.clone());
        assert_eq!(events["regarding"], json!({"kind": "Pod"}));
        assert_eq!(events["note"], "m");
        assert_eq!(to_core(events), core);
    }
}
