//! Requests and limits: known names, amounts that make sense, no request above its limit.

use std::collections::BTreeMap;

use api_types::{
    Quantity,
    field::{FieldError, Path},
    k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity as Text},
};

use super::Errors;
use crate::names::{self, report};

type List = BTreeMap<String, Text>;

/// Resources of containers that have no domain in their name.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";

pub fn validate(resources: &ResourceRequirements, path: &Path, errors: &mut Errors) {
    let empty = List::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    list(limits, &path.child("limits"), errors);
    list(requests, &path.child("requests"), errors);
    let at = path.child("requests");
    for (name, request) in requests {
        match limits.get(name) {
            Some(limit) => compare(name, request, limit, &at, errors),
            None if !overcommits(name) => errors.push(FieldError::required(
                &path.child("limits"),
                "Limit must be set for non overcommitable resources",
            )),
            None => {}
        }
    }
}

fn compare(name: &str, request: &Text, limit: &Text, path: &Path, errors: &mut Errors) {
    let (Ok(wanted), Ok(most)) = (Quantity::try_from(request), Quantity::try_from(limit)) else { return };
    if wanted > most {
        errors.push(FieldError::invalid(
            path,
            request.0.as_str(),
            format!("must be less than or equal to {name} limit of {}", limit.0),
        ));
    } else if wanted != most && !overcommits(name) {
        errors.push(FieldError::invalid(
            path,
            request.0.as_str(),
            format!("must be equal to {name} limit of {}", limit.0),
        ));
    }
}

/// Names and amounts of one list.
pub fn list(list: &List, path: &Path, errors: &mut Errors) {
    for (name, quantity) in list {
        let at = path.key(name);
        self::name(name, &at, errors);
        let Ok(amount) = Quantity::try_from(quantity) else { continue };
        if amount.signum() < 0 {
            errors.push(FieldError::invalid(&at, quantity.0.as_str(), "must be greater than or equal to 0"));
        }
        if !overcommits(name) && amount.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid(&at, quantity.0.as_str(), "must be an integer"));
        }
    }
}

/// What a container may ask for.
pub fn name(name: &str, path: &Path, errors: &mut Errors) {
    report(names::qualified_name(name), path, name, errors);
    if !name.contains('/') && !is_standard(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || name.starts_with(HUGE_PAGES)
}

/// Extended resources and huge pages are given out whole and never twice.
pub fn overcommits(name: &str) -> bool {
    STANDARD.contains(&name) || name.contains("kubernetes.io/")
}

/// Units a resource may be shown in.
pub fn divisor(resource: &str, divisor: &Text, path: &Path, errors: &mut Errors) {
    let supported: &[&str] = match resource.split_once('.').map(|(_, r)| r) {
        Some("cpu") => &["1m", "1"],
        _ => &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
    };
    if divisor.0 != "0" && !supported.contains(&divisor.0.as_str()) {
        errors.push(FieldError::not_supported(path, divisor.0.as_str(), supported));
    }
}
