//! Numbers of pods that may be given as a share of all of them.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::json;

use crate::names;

/// A count that is not negative, or a percentage.
pub fn validate(value: &IntOrString, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        IntOrString::Int(n) => names::not_negative((*n).into(), path, errors),
        IntOrString::String(text) => names::report(names::percentage(text), path, text, errors),
    }
}

/// No share is more than all.
pub fn validate_at_most_all(value: &IntOrString, path: &Path, errors: &mut Vec<FieldError>) {
    if matches!(value, IntOrString::String(text) if names::percentage(text).is_empty()) && number(value) > 100 {
        errors.push(FieldError::invalid(path, json!(value), "must not be greater than 100%"));
    }
}

/// The number itself, of pods or per hundred; 0 for what is no number.
pub fn number(value: &IntOrString) -> i64 {
    match value {
        IntOrString::Int(n) => (*n).into(),
        IntOrString::String(text) => text.trim_end_matches('%').parse().unwrap_or(0),
    }
}
