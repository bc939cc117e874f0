//! JSON patch (RFC 6902): a list of operations, all or none.

use api_types::status::Status;
use serde_json::Value;

use super::{go, rejected, unreadable};

/// The most operations that one patch may hold.
const MAX_OPERATIONS: usize = 10_000;

/// Applies `patch` to a copy of `document`. 400 if it is no patch, 413 if it is too long, 422 if an operation fails.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch: Value = serde_json::from_slice(patch).map_err(unreadable)?;
    if !patch.is_array() {
        let kind = go::kind(&patch);
        return Err(unreadable(format!("json: cannot unmarshal {kind} into Go value of type []interface {{}}")));
    }
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(unreadable)?;
    if patch.0.len() > MAX_OPERATIONS {
        return Err(Status::request_entity_too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            patch.0.len()
        )));
    }
    let mut result = document.clone();
    json_patch::patch(&mut result, &patch).map_err(rejected)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(patch: Value, wanted: Result<Value, u16>) {
        let document = json!({"a": {"b": [1, 2]}});
        assert_eq!(apply(&document, patch.to_string().as_bytes()).map_err(|s| s.code), wanted);
    }

    #[test]
    fn operations() {
        check(json!([{"op": "add", "path": "/a/b/-", "value": 3}]), Ok(json!({"a": {"b": [1, 2, 3]}})));
        check(json!([{"op": "test", "path": "/a/b/0", "value": 9}]), Err(422));
        check(json!([{"op": "remove", "path": "/x"}]), Err(422));
        check(json!({"a": 1}), Err(400));
    }
}
