//! Fields taken out of a value.

use serde_json::Value;

use super::{
    items,
    schema::{Node, Type},
    set::Set,
};

/// What becomes of an object or list that loses all that was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    Goes,
    /// It stays as null, which still counts as named.
    IsNull,
}

/// Takes the fields of `set` out of `value`. Leaves are only taken whole.
pub fn remove(type_: Type, value: &mut Value, set: &Set, emptied: Emptied) {
    if type_.is_leaf() || set.is_empty() {
        return;
    }
    match (type_.node(), value) {
        (Node::List { item, kind }, Value::Array(values)) => {
            values.retain_mut(|value| {
                let Some(node) = items::element(kind, value).ok().and_then(|element| set.get(&element)) else {
                    return true;
                };
                !node.member && stays(type_.at(*item), value, &node.children, emptied)
            });
        }
        (Node::Struct { .. } | Node::Map { .. } | Node::Deduced, Value::Object(members)) => {
            members.retain(|name, value| {
                let (Some(node), Some(place)) = (set.field(name), type_.member(name)) else { return true };
                !node.member && stays(place.type_, value, &node.children, emptied)
            });
        }
        _ => {}
    }
}

fn stays(type_: Type, value: &mut Value, set: &Set, emptied: Emptied) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let was_empty = is_empty(value);
    remove(type_, value, set, emptied);
    if was_empty || !is_empty(value) {
        return true;
    }
    *value = Value::Null;
    emptied == Emptied::IsNull
}
