//! Conditions of the common type (`metav1.Condition`).

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition,
};
use jiff::Timestamp;

use crate::names::{one_of, qualified_name, report};

const LONGEST_REASON: usize = 1024;
const LONGEST_MESSAGE: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// One condition of each type, each complete.
pub fn validate(conditions: &[Condition], path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        if !seen.insert(&condition.type_) {
            errors.push(FieldError::duplicate(&at.child("type"), condition.type_.as_str()));
        }
        validate_one(condition, &at, errors);
    }
}

fn validate_one(condition: &Condition, path: &Path, errors: &mut Vec<FieldError>) {
    let type_ = &condition.type_;
    if type_.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must be set"));
    } else {
        report(qualified_name(type_), &path.child("type"), type_, errors);
    }
    one_of(&condition.status, &["False", "True", "Unknown"], &path.child("status"), errors);
    if let Some(generation) = condition.observed_generation.filter(|g| *g < 0) {
        let at = path.child("observedGeneration");
        errors.push(FieldError::invalid(&at, generation, "must be greater than or equal to zero"));
    }
    if condition.last_transition_time.0 == Timestamp::UNIX_EPOCH {
        errors.push(FieldError::required(&path.child("lastTransitionTime"), "must be set"));
    }
    let at = path.child("reason");
    let reason = &condition.reason;
    if reason.is_empty() {
        errors.push(FieldError::required(&at, "must be set"));
    } else if !is_reason(reason) {
        errors.push(FieldError::invalid(&at, reason.as_str(), REASON));
    }
    if reason.len() > LONGEST_REASON {
        errors.push(FieldError::too_long(&at, LONGEST_REASON));
    }
    if condition.message.len() > LONGEST_MESSAGE {
        errors.push(FieldError::too_long(&path.child("message"), LONGEST_MESSAGE));
    }
}

fn is_reason(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || ",:".contains(c))
}
