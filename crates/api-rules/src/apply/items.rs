//! Which item of a list is which: by its keys, or by its own value.

use serde_json::Value;

use super::{
    element::Element,
    schema::{Key, ListKind},
};

/// The element of an item of a set or a list with keys; the error is upstream's.
pub fn element(kind: &ListKind, item: &Value) -> Result<Element, String> {
    match kind {
        ListKind::Map(keys) => keyed(keys, item),
        ListKind::Set | ListKind::Atomic => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Element::Value(scalar.clone())),
        },
    }
}

fn keyed(keys: &[Key], item: &Value) -> Result<Element, String> {
    let members = match item {
        Value::Object(members) => members,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let field = |key: &Key| {
        let value = members.get(key.name.as_ref()).or(key.default.as_ref())?;
        Some((key.name.clone(), value.clone()))
    };
    let fields: Vec<_> = keys.iter().filter_map(field).collect();
    if fields.is_empty() {
        let names: Vec<_> = keys.iter().map(|key| format!("{:?}", key.name)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(Element::key(fields))
}
