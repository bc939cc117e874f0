use serde_json::{Value, json};

use super::convert::{to_v1, to_v2};

fn there_and_back(v2: Value) -> Value {
    let v1 = to_v1(v2.clone());
    assert_eq!(to_v2(v1.clone()), v2, "through {v1}");
    v1
}

#[test]
fn the_processors_use_has_a_field() {
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    let v1 = there_and_back(json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "metrics": [metric]}, "status": {"currentReplicas": 1, "desiredReplicas": 2}}));
    assert_eq!(v1["apiVersion"], "autoscaling/v1");
    assert_eq!(v1["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}));
    assert!(v1["metadata"].get("annotations").is_none());
}

#[test]
fn everything_else_travels_in_annotations() {
    let metrics = json!([
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {"type": "Pods", "pods": {"metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "10"}}},
        {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "hits"},
            "target": {"type": "Value", "value": "5"}}},
        {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "3"}}},
        {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 7}}},
    ]);
    let current = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5, "averageValue": "20m"}}}]);
    let v1 =
        there_and_back(json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "h", "annotations": {"x": "y"}},
        "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {"scaleDown": {"selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}},
        "status": {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": current,
            "conditions": [{"type": "AbleToScale", "status": "True"}]}}));
    let annotations = &v1["metadata"]["annotations"];
    assert!(annotations["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap().starts_with(
        r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}},{"type":"Pods","pods":{"metricName":"hits","#
    ));
    assert_eq!(
        annotations["autoscaling.alpha.kubernetes.io/behavior"],
        r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":60}],"Tolerance":null}}"#
    );
    assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 5);
    assert!(v1["spec"].get("metrics").is_none() && v1["status"].get("conditions").is_none());
}

#[test]
fn nothing_said_means_the_processors_use() {
    let v2 = to_v2(json!({"apiVersion": "autoscaling/v1", "metadata": {}, "spec": {"maxReplicas": 1}}));
    assert_eq!(v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
}
