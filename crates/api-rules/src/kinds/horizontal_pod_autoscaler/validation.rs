//! What an autoscaler may say.

use api_types::{
    Quantity,
    field::{FieldError, Path},
    k8s_openapi::{
        api::autoscaling::v2::{
            CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec,
            MetricTarget,
        },
        apimachinery::pkg::api::resource::Quantity as Text,
    },
};

use crate::names::{self, not_negative, one_of, report};

type Errors = Vec<FieldError>;

const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
const LONGEST_WINDOW_SECONDS: i32 = 3600;
const LONGEST_PERIOD_SECONDS: i32 = 1800;

pub fn spec(spec: &HorizontalPodAutoscalerSpec, errors: &mut Errors) {
    let path = Path::new("spec");
    let (min, max) = (spec.min_replicas, spec.max_replicas);
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.push(FieldError::invalid(&path.child("minReplicas"), min, "must be greater than or equal to 1"));
    }
    let at = path.child("maxReplicas");
    if max < 1 {
        errors.push(FieldError::invalid(&at, max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        errors.push(FieldError::invalid(&at, max, "must be greater than or equal to `minReplicas`"));
    }
    reference(&spec.scale_target_ref, &path.child("scaleTargetRef"), errors);
    for (i, metric) in spec.metrics.iter().flatten().enumerate() {
        validate_metric(metric, &path.child("metrics").index(i), errors);
    }
    let Some(behavior) = &spec.behavior else { return };
    for (member, side) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        if let Some(side) = side {
            rules(side, &path.child("behavior").child(member), errors);
        }
    }
}

pub fn status(current: i32, desired: i32, errors: &mut Errors) {
    let path = Path::new("status");
    not_negative(current.into(), &path.child("currentReplicas"), errors);
    not_negative(desired.into(), &path.child("desiredReplicas"), errors);
}

fn reference(target: &CrossVersionObjectReference, path: &Path, errors: &mut Errors) {
    for (member, text) in [("kind", &target.kind), ("name", &target.name)] {
        let at = path.child(member);
        if text.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            report(names::path_segment(text), &at, text, errors);
        }
    }
    if let Some(version) = target.api_version.as_deref().filter(|v| v.matches('/').count() > 1) {
        let why = format!("unexpected GroupVersion string: {version}");
        errors.push(FieldError::invalid(&path.child("apiVersion"), version, why));
    }
}

fn validate_metric(metric: &MetricSpec, path: &Path, errors: &mut Errors) {
    let types = SOURCES.map(|(type_, _)| type_);
    let at = path.child("type");
    if metric.type_.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric source type"));
    }
    one_of(&metric.type_, &types, &at, errors);
    let given = [
        metric.container_resource.is_some(),
        metric.external.is_some(),
        metric.object.is_some(),
        metric.pods.is_some(),
        metric.resource.is_some(),
    ];
    let expected = SOURCES.iter().position(|(type_, _)| *type_ == metric.type_);
    if given.iter().filter(|given| **given).count() == 1 {
        source(metric, path, errors);
    }
    if let Some(expected) = expected.filter(|i| !given[*i]) {
        let at = path.child(SOURCES[expected].1);
        errors.push(FieldError::required(&at, "must populate information for the given metric source"));
    }
    for (i, (_, member)) in SOURCES.iter().enumerate() {
        if given[i] && expected.is_some_and(|expected| expected != i) {
            errors.push(FieldError::forbidden(&path.child(member), "must populate the given metric source only"));
        }
    }
}

/// The one source that is there.
fn source(metric: &MetricSpec, path: &Path, errors: &mut Errors) {
    if let Some(object) = &metric.object {
        let path = path.child("object");
        reference(&object.described_object, &path.child("describedObject"), errors);
        identifier(&object.metric, &path.child("metric"), errors);
        let at = path.child("target");
        target(&object.target, &at, errors);
        if object.target.value.is_none() && object.target.average_value.is_none() {
            let why = "must set either a target value or averageValue";
            errors.push(FieldError::required(&at.child("averageValue"), why));
        }
    }
    if let Some(external) = &metric.external {
        let path = path.child("external");
        identifier(&external.metric, &path.child("metric"), errors);
        let at = path.child("target");
        target(&external.target, &at, errors);
        match (&external.target.value, &external.target.average_value) {
            (None, None) => errors.push(FieldError::required(
                &at.child("averageValue"),
                "must set either a target value for metric or a per-pod target",
            )),
            (Some(_), Some(_)) => errors.push(FieldError::forbidden(
                &at.child("value"),
                "may not set both a target value for metric and a per-pod target",
            )),
            _ => {}
        }
    }
    if let Some(pods) = &metric.pods {
        let path = path.child("pods");
        identifier(&pods.metric, &path.child("metric"), errors);
        let at = path.child("target");
        target(&pods.target, &at, errors);
        if pods.target.average_value.as_ref().is_none_or(|value| !is_positive(value)) {
            let why = "must specify a positive target averageValue";
            errors.push(FieldError::required(&at.child("averageValue"), why));
        }
    }
    if let Some(resource) = &metric.resource {
        of_requests(&resource.name, None, &resource.target, &path.child("resource"), errors);
    }
    if let Some(resource) = &metric.container_resource {
        let path = path.child("containerResource");
        of_requests(&resource.name, Some(&resource.container), &resource.target, &path, errors);
    }
}

fn of_requests(name: &str, container: Option<&str>, wanted: &MetricTarget, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
    }
    if container == Some("") {
        errors.push(FieldError::required(&path.child("container"), "must specify a container"));
    }
    let at = path.child("target");
    target(wanted, &at, errors);
    match (wanted.average_utilization, &wanted.average_value) {
        (None, None) => errors.push(FieldError::required(
            &at.child("averageUtilization"),
            "must set either a target raw value or a target utilization",
        )),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(
            &at.child("averageValue"),
            "may not set both a target raw value and a target utilization",
        )),
        _ => {}
    }
}

fn identifier(metric: &MetricIdentifier, path: &Path, errors: &mut Errors) {
    let at = path.child("name");
    if metric.name.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric name"));
    } else {
        report(names::path_segment(&metric.name), &at, &metric.name, errors);
    }
}

fn target(target: &MetricTarget, path: &Path, errors: &mut Errors) {
    let at = path.child("type");
    if target.type_.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric target type"));
    } else if !["Utilization", "Value", "AverageValue"].contains(&target.type_.as_str()) {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&at, target.type_.as_str(), why));
    }
    for (member, quantity) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(quantity) = quantity.as_ref().filter(|q| !is_positive(q)) {
            errors.push(FieldError::invalid(&path.child(member), quantity.0.as_str(), "must be positive"));
        }
    }
    if let Some(share) = target.average_utilization.filter(|share| *share < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), share, "must be greater than 0"));
    }
}

fn is_positive(quantity: &Text) -> bool {
    Quantity::try_from(quantity).is_ok_and(|q| q.signum() > 0)
}

fn rules(rules: &HPAScalingRules, path: &Path, errors: &mut Errors) {
    let at = path.child("stabilizationWindowSeconds");
    match rules.stabilization_window_seconds {
        Some(seconds) if seconds < 0 => {
            errors.push(FieldError::invalid(&at, seconds, "must be greater than or equal to zero"));
        }
        Some(seconds) if seconds > LONGEST_WINDOW_SECONDS => {
            let why = format!("must be less than or equal to {LONGEST_WINDOW_SECONDS}");
            errors.push(FieldError::invalid(&at, seconds, why));
        }
        _ => {}
    }
    if let Some(policy) = &rules.select_policy {
        one_of(policy, &["Disabled", "Max", "Min"], &path.child("selectPolicy"), errors);
    }
    if let Some(tolerance) = &rules.tolerance
        && Quantity::try_from(tolerance).is_ok_and(|q| q.signum() < 0)
    {
        let at = path.child("tolerance");
        errors.push(FieldError::invalid(&at, tolerance.0.as_str(), "must be greater than or equal to 0"));
    }
    let path = path.child("policies");
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        errors.push(FieldError::required(&path, "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = path.index(i);
        one_of(&policy.type_, &["Percent", "Pods"], &path.child("type"), errors);
        for (member, number) in [("value", policy.value), ("periodSeconds", policy.period_seconds)] {
            if number <= 0 {
                errors.push(FieldError::invalid(&path.child(member), number, "must be greater than zero"));
            }
        }
        if policy.period_seconds > LONGEST_PERIOD_SECONDS {
            let why = format!("must be less than or equal to {LONGEST_PERIOD_SECONDS}");
            errors.push(FieldError::invalid(&path.child("periodSeconds"), policy.period_seconds, why));
        }
    }
}
