//! Between the two versions. What v1 has no fields for lies in four annotations, so that nothing is lost on the way.

use serde_json::{Value, json};

use super::{
    behavior,
    metrics::{self, List},
    v2::{CPU_UTILIZATION, cpu_utilization},
};
use crate::value;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const OF_STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];

pub fn to_v1(mut object: Value) -> Value {
    value::set(&mut object, &["apiVersion"], "autoscaling/v1".into());
    let taken = |object: &mut Value, part: &str, name: &str| value::remove(object, &[part, name]);
    if let Some(Value::Array(metrics)) = taken(&mut object, "spec", "metrics") {
        if let Some(percentage) = metrics.iter().find_map(utilization_of_cpu) {
            value::set(&mut object, &["spec", "targetCPUUtilizationPercentage"], percentage);
        }
        let others: Vec<_> = metrics.iter().filter(|m| utilization_of_cpu(m).is_none()).collect();
        if !others.is_empty() {
            let others: Vec<_> = others.into_iter().map(|m| metrics::to_v1(m, List::Spec)).collect();
            annotate(&mut object, METRICS, &json!(others));
        }
    }
    if let Some(rules) = taken(&mut object, "spec", "behavior") {
        annotate(&mut object, BEHAVIOR, &behavior::to_annotation(&rules));
    }
    if let Some(Value::Array(current)) = taken(&mut object, "status", "currentMetrics") {
        if let Some(percentage) = current.iter().find_map(current_utilization_of_cpu) {
            value::set(&mut object, &["status", "currentCPUUtilizationPercentage"], percentage);
        }
        // The raw value beside the percentage would be lost otherwise.
        if !current.is_empty() {
            let current: Vec<_> = current.iter().map(|m| metrics::to_v1(m, List::Status)).collect();
            annotate(&mut object, CURRENT_METRICS, &json!(current));
        }
    }
    if let Some(conditions) = taken(&mut object, "status", "conditions").filter(|c| !c.is_null()) {
        annotate(&mut object, CONDITIONS, &conditions);
    }
    if let Some(status) = object.get_mut("status").filter(|status| status.is_object()) {
        value::default(status, "currentReplicas", 0);
    }
    object
}

pub fn to_v2(mut object: Value) -> Value {
    value::set(&mut object, &["apiVersion"], "autoscaling/v2".into());
    let mut metrics: Vec<Value> = Vec::new();
    let percentage = value::remove(&mut object, &["spec", "targetCPUUtilizationPercentage"]);
    if let Some(percentage) = percentage.as_ref().and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()) {
        metrics.push(cpu_utilization(percentage));
    }
    if let Some(Value::Array(others)) = taken(&mut object, METRICS) {
        metrics.extend(others.iter().map(|m| metrics::to_v2(m, List::Spec)));
    }
    if metrics.is_empty() {
        metrics.push(cpu_utilization(CPU_UTILIZATION));
    }
    value::set(&mut object, &["spec", "metrics"], metrics.into());
    if let Some(rules) = taken(&mut object, BEHAVIOR) {
        value::set(&mut object, &["spec", "behavior"], behavior::from_annotation(rules));
    }
    let current = value::remove(&mut object, &["status", "currentCPUUtilizationPercentage"]);
    if let Some(Value::Array(current)) = taken(&mut object, CURRENT_METRICS) {
        let current: Vec<_> = current.iter().map(|m| metrics::to_v2(m, List::Status)).collect();
        value::set(&mut object, &["status", "currentMetrics"], current.into());
    } else if let Some(percentage) = current.filter(|p| !p.is_null()) {
        let metric = json!({"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": percentage},
        }});
        value::set(&mut object, &["status", "currentMetrics"], json!([metric]));
    }
    if let Some(conditions) = taken(&mut object, CONDITIONS) {
        value::set(&mut object, &["status", "conditions"], conditions);
    }
    if value::at(&object, &["metadata", "annotations"]) == Some(&json!({})) {
        value::remove(&mut object, &["metadata", "annotations"]);
    }
    object
}

/// A new object has no status, nor a part of it in annotations.
pub fn drop_annotations_of_status(object: &mut Value) {
    for name in OF_STATUS {
        value::remove(object, &["metadata", "annotations", name]);
    }
}

pub fn keep_annotations_of_status(new: &mut Value, old: &Value) {
    for name in OF_STATUS {
        value::copy(new, old, &["metadata", "annotations", name]);
    }
}

fn annotate(object: &mut Value, name: &str, content: &Value) {
    value::set(object, &["metadata", "annotations", name], content.to_string().into());
}

/// What an annotation says. One that says nothing sensible is dropped, as upstream does.
fn taken(object: &mut Value, name: &str) -> Option<Value> {
    let text = value::remove(object, &["metadata", "annotations", name])?;
    serde_json::from_str(text.as_str()?).ok()
}

fn utilization_of_cpu(metric: &Value) -> Option<Value> {
    of_cpu(metric)?;
    value::at(metric, &["resource", "target", "averageUtilization"]).cloned()
}

fn current_utilization_of_cpu(metric: &Value) -> Option<Value> {
    of_cpu(metric)?;
    value::at(metric, &["resource", "current", "averageUtilization"]).cloned()
}

fn of_cpu(metric: &Value) -> Option<()> {
    (metric["type"] == "Resource" && value::text(metric, &["resource", "name"]) == "cpu").then_some(())
}
