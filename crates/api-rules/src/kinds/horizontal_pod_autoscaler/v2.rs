//! HorizontalPodAutoscaler as it is stored: any number of metrics, and how fast to follow them.

use api_types::{
    field::FieldError,
    k8s_openapi::{
        api::autoscaling::v2::{
            self, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget,
            MetricValueStatus,
        },
        apimachinery::pkg::api::resource::Quantity,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{behavior, validation};
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

/// So many metrics are shown one by one.
const METRICS_SHOWN: usize = 2;
/// The share of its processor request that a pod is to use, if nothing is said.
pub const CPU_UTILIZATION: i32 = 80;

pub struct HorizontalPodAutoscaler;

impl Resource for HorizontalPodAutoscaler {
    type Object = v2::HorizontalPodAutoscaler;

    const NAMES: Names = Names {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        list_kind: "HorizontalPodAutoscalerList",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = super::STORAGE;
    const NOT_ENFORCED: Option<&'static str> = super::NOT_SCALED;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource {
        name: "status",
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        verbs: GET_PATCH_UPDATE,
    }];

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        value::default(spec, "minReplicas", 1);
        if value::items(spec, &["metrics"]).is_empty() {
            value::set(spec, &["metrics"], json!([cpu_utilization(CPU_UTILIZATION)]));
        }
        if let Some(rules) = spec.get_mut("behavior") {
            behavior::set_defaults(rules);
        }
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        value::set(object, &["status"], json!({"desiredReplicas": 0}));
    }

    fn validate(object: &v2::HorizontalPodAutoscaler, errors: &mut Vec<FieldError>) {
        validation::spec(&object.spec, errors);
    }

    fn validate_update(
        new: &v2::HorizontalPodAutoscaler,
        _: &v2::HorizontalPodAutoscaler,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if let (Some("status"), Some(status)) = (subresource, &new.status) {
            validation::status(status.current_replicas.unwrap_or(0), status.desired_replicas, errors);
        }
    }

    fn cells(object: &v2::HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let status = object.status.clone().unwrap_or_default();
        let target = &spec.scale_target_ref;
        vec![
            cells::name(&object.metadata),
            format!("{}/{}", target.kind, target.name).into(),
            targets(spec, &status).into(),
            spec.min_replicas.map_or_else(|| "<unset>".to_owned(), |n| n.to_string()).into(),
            spec.max_replicas.into(),
            status.current_replicas.unwrap_or(0).into(),
            duration::age(&object.metadata, now),
        ]
    }
}

/// The metric that `targetCPUUtilizationPercentage` of v1 stands for.
pub fn cpu_utilization(percentage: i32) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percentage},
    }})
}

fn targets(spec: &HorizontalPodAutoscalerSpec, status: &HorizontalPodAutoscalerStatus) -> String {
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    let current = status.current_metrics.as_deref().unwrap_or_default();
    let shown = metrics.iter().enumerate().take(METRICS_SHOWN).map(|(i, metric)| target(metric, current.get(i)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match metrics.len() {
        0 => cells::NONE.to_owned(),
        n if n > METRICS_SHOWN => format!("{shown} + {} more...", n - METRICS_SHOWN),
        _ => shown,
    }
}

/// What is measured and what is wanted, as `cpu: 10%/80%`.
fn target(metric: &MetricSpec, status: Option<&MetricStatus>) -> String {
    let shown = |quantity: Option<&Quantity>| quantity.map_or("<unknown>", |q| q.0.as_str()).to_owned();
    if let Some(source) = &metric.external {
        let current = status.and_then(|s| s.external.as_ref()).map(|s| &s.current);
        return plain(&source.target, current);
    }
    if let Some(source) = &metric.object {
        let current = status.and_then(|s| s.object.as_ref()).map(|s| &s.current);
        return plain(&source.target, current);
    }
    if let Some(source) = &metric.pods {
        let current = status.and_then(|s| s.pods.as_ref()).and_then(|s| s.current.average_value.as_ref());
        return format!("{}/{}", shown(current), shown(source.target.average_value.as_ref()));
    }
    if let Some(source) = &metric.resource {
        let current = status.and_then(|s| s.resource.as_ref()).map(|s| &s.current);
        return format!("{}: {}", source.name, of_requests(&source.target, current));
    }
    if let Some(source) = &metric.container_resource {
        let current = status.and_then(|s| s.container_resource.as_ref()).map(|s| &s.current);
        return format!("{}: {}", source.name, of_requests(&source.target, current));
    }
    "<unknown type>".to_owned()
}

/// A value as such, or for each pod.
fn plain(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    let text = |quantity: Option<&Quantity>| quantity.map_or("<unknown>", |q| q.0.as_str()).to_owned();
    match &target.average_value {
        Some(average) => format!("{}/{} (avg)", text(current.and_then(|c| c.average_value.as_ref())), average.0),
        None => format!("{}/{}", text(current.and_then(|c| c.value.as_ref())), text(target.value.as_ref())),
    }
}

/// A value for each pod, or a share of what the pods ask for.
fn of_requests(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    if let Some(average) = &target.average_value {
        let current = current.and_then(|c| c.average_value.as_ref()).map_or("<unknown>", |q| q.0.as_str());
        return format!("{current}/{}", average.0);
    }
    let percent = |n: Option<i32>, none: &str| n.map_or_else(|| none.to_owned(), |n| format!("{n}%"));
    let current = percent(current.and_then(|c| c.average_utilization), "<unknown>");
    format!("{current}/{}", percent(target.average_utilization, "<auto>"))
}
