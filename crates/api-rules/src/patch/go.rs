//! Values as Go shows them in the messages that clients know.

use serde_json::Value;

/// `%v` of a value that Go decoded into an `interface{}`.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{}", show(value))).collect();
            members.sort_unstable();
            format!("map[{}]", members.join(" "))
        }
        plain => plain.to_string(),
    }
}

/// What Go calls a JSON value that it cannot decode into something else.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values() {
        let check = |value: Value, shown: &str| assert_eq!(show(&value), shown);
        check(json!({"b": [1, true, null], "a": {"c": "d e"}}), "map[a:map[c:d e] b:[1 true <nil>]]");
        check(json!({}), "map[]");
        check(json!([]), "[]");
    }
}
