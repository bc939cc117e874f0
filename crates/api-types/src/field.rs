//! Where in an object something is wrong, and what: upstream's `field.Path` and `field.Error`, word for word.

use std::fmt::{self, Write};

use serde_json::Value;

/// A path such as `spec.containers[0].resources.limits[cpu]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    pub fn root() -> Self {
        Self::default()
    }

    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The member `name` of this object; dots in `name` step further down.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self(format!("{}.{name}", self.0)) }
    }

    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of this map.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What kind of wrong; the `reason` of a `Status` cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
    /// Invalid, but of no value that could be shown.
    InvalidAsAWhole,
}

impl FieldErrorType {
    /// The machine-readable form in `Status.details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid | Self::InvalidAsAWhole => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::InvalidAsAWhole => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
            Self::TypeInvalid => "Invalid value",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(
            self,
            Self::Required | Self::Forbidden | Self::TooLong | Self::TooMany | Self::Internal | Self::InvalidAsAWhole
        )
    }
}

/// One finding of validation.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: FieldErrorType,
    pub field: String,
    pub bad_value: Value,
    pub detail: String,
}

impl FieldError {
    fn of(kind: FieldErrorType, path: &Path, bad_value: Value, detail: impl Into<String>) -> Self {
        Self { kind, field: path.to_string(), bad_value, detail: detail.into() }
    }

    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::Required, path, Value::Null, detail)
    }

    pub fn invalid(path: &Path, bad_value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::Invalid, path, bad_value.into(), detail)
    }

    /// Something about the value is wrong that showing it would not explain.
    pub fn invalid_as_a_whole(path: &Path, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::InvalidAsAWhole, path, Value::Null, detail)
    }

    pub fn type_invalid(path: &Path, bad_value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::TypeInvalid, path, bad_value.into(), detail)
    }

    /// The value is not one of `supported`, which are listed in the given order.
    pub fn not_supported(path: &Path, bad_value: impl Into<Value>, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<_> = supported.iter().map(|s| go_quote(s)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::of(FieldErrorType::NotSupported, path, bad_value.into(), detail)
    }

    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::Forbidden, path, Value::Null, detail)
    }

    pub fn duplicate(path: &Path, bad_value: impl Into<Value>) -> Self {
        Self::of(FieldErrorType::Duplicate, path, bad_value.into(), "")
    }

    pub fn not_found(path: &Path, bad_value: impl Into<Value>) -> Self {
        Self::of(FieldErrorType::NotFound, path, bad_value.into(), "")
    }

    /// Longer than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Self {
        Self::of(FieldErrorType::TooLong, path, Value::Null, format!("may not be more than {max} bytes"))
    }

    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        Self::of(FieldErrorType::TooMany, path, Value::Null, format!("{actual}: must have at most {max} items"))
    }

    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::of(FieldErrorType::Internal, path, Value::Null, detail)
    }

    /// The text without the field, as `Status.details.causes[].message` carries it.
    pub fn body(&self) -> String {
        let mut out = self.kind.text().to_owned();
        if self.kind.shows_value() {
            let _ = write!(out, ": {}", shown(&self.bad_value));
        }
        if !self.detail.is_empty() {
            let _ = write!(out, ": {}", self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// Strings quoted as Go does, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => go_quote(s),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// A string as Go's `%q` writes it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: FieldError, text: &str) {
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn words_are_upstreams() {
        let image = Path::new("spec").child("containers").index(0).child("image");
        check(FieldError::required(&image, ""), "spec.containers[0].image: Required value");
        check(
            FieldError::invalid(&Path::new("metadata").child("name"), "A_b", "must be lower case"),
            "metadata.name: Invalid value: \"A_b\": must be lower case",
        );
        check(
            FieldError::invalid(&Path::new("spec.replicas"), -1, "must be >= 0"),
            "spec.replicas: Invalid value: -1: must be >= 0",
        );
        check(
            FieldError::not_supported(&Path::new("spec.type"), "X", &["A", "B"]),
            "spec.type: Unsupported value: \"X\": supported values: \"A\", \"B\"",
        );
        check(FieldError::duplicate(&Path::new("a").key("b"), "c"), "a[b]: Duplicate value: \"c\"");
        check(FieldError::forbidden(&Path::new("a"), "no"), "a: Forbidden: no");
        check(FieldError::invalid_as_a_whole(&Path::new("a"), "no"), "a: Invalid value: no");
        check(FieldError::too_long(&Path::new("a"), 63), "a: Too long: may not be more than 63 bytes");
    }
}
