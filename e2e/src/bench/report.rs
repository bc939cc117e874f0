//! One JSON line a result, for programs, and percentiles for people.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Prints a result as one line: the phase's name and its figures.
pub fn line(phase: &str, figures: Value) {
    let mut all = Map::new();
    all.insert("phase".into(), phase.into());
    if let Value::Object(figures) = figures {
        all.extend(figures);
    }
    println!("{}", Value::Object(all));
}

/// Median and 99th percentile in milliseconds.
pub fn percentiles(samples: &mut [Duration]) -> Value {
    samples.sort();
    let at = |share: f64| {
        let index = ((samples.len() as f64 - 1.0) * share).round() as usize;
        samples.get(index).map_or(0.0, |d| rounded(d.as_secs_f64() * 1000.0))
    };
    json!({"n": samples.len(), "p50_ms": at(0.5), "p99_ms": at(0.99)})
}

/// Three significant decimals are more than a measurement holds.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
