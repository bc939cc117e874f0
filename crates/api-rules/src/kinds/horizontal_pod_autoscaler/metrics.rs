//! Metrics in the form that v1 keeps in annotations: names and numbers lie beside each other instead of in groups.

use serde_json::{Map, Value, json};

use crate::value;

/// Where a member lies in the form of v2 (below the source), and what v1 calls it.
type Names = &'static [(&'static [&'static str], &'static str)];

const SPEC: [(&str, Names); 5] = [
    (
        "resource",
        &[
            (&["name"], "name"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            (&["name"], "name"),
            (&["container"], "container"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
    (
        "pods",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
    (
        "object",
        &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["target", "value"], "targetValue"),
            (&["target", "averageValue"], "averageValue"),
        ],
    ),
    (
        "external",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["target", "value"], "targetValue"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
];

const STATUS: [(&str, Names); 5] = [
    (
        "resource",
        &[
            (&["name"], "name"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            (&["name"], "name"),
            (&["container"], "container"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
    (
        "pods",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
    (
        "object",
        &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["current", "value"], "currentValue"),
            (&["current", "averageValue"], "averageValue"),
        ],
    ),
    (
        "external",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["current", "value"], "currentValue"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
];

/// The two lists that are kept in annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Spec,
    Status,
}

impl List {
    fn names(self) -> &'static [(&'static str, Names)] {
        match self {
            Self::Spec => &SPEC,
            Self::Status => &STATUS,
        }
    }
}

pub fn to_v1(metric: &Value, list: List) -> Value {
    converted(metric, list, |from, names| {
        let members =
            names.iter().filter_map(|(path, name)| Some(((*name).to_owned(), value::at(from, path)?.clone())));
        Value::Object(members.collect::<Map<_, _>>())
    })
}

pub fn to_v2(metric: &Value, list: List) -> Value {
    let mut metric = converted(metric, list, |from, names| {
        let mut to = json!({});
        for (path, name) in names {
            if let Some(found) = from.get(name) {
                value::set(&mut to, path, found.clone());
            }
        }
        to
    });
    if list == List::Spec {
        for (source, _) in SPEC {
            if let Some(source) = metric.get_mut(source) {
                set_target_type(value::child(source, "target"));
            }
        }
    }
    metric
}

fn converted(metric: &Value, list: List, convert: impl Fn(&Value, Names) -> Value) -> Value {
    let mut to = json!({"type": metric.get("type")});
    for (source, names) in list.names() {
        if let Some(from) = metric.get(source).filter(|from| from.is_object()) {
            value::set(&mut to, &[source], convert(from, names));
        }
    }
    to
}

/// v1 says by the number that is there what kind of target it is.
fn set_target_type(target: &mut Value) {
    let has = |name: &str| target.get(name).is_some_and(|found| !found.is_null());
    let type_ = if has("averageUtilization") {
        "Utilization"
    } else if has("averageValue") {
        "AverageValue"
    } else {
        "Value"
    };
    value::set(target, &["type"], type_.into());
}
