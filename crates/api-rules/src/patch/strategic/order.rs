//! The order of a merged list: the patch's items in the patch's order, the others where they were, as far as both can be.

use serde_json::Value;

use super::PatchError;

/// Whether two items are the same one.
fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

/// Arranges `merged`: items that `wanted` names in its order, interleaved with the rest in the order of `server`.
pub fn arrange(merged: Vec<Value>, wanted: &[Value], server: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| position(wanted, item, key).is_some());
    ours.sort_by_key(|item| position(wanted, item, key));
    others.sort_by_key(|item| position(server, item, key).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(ours.len() + others.len());
    let (mut ours, mut others) = (ours.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(our), Some(other)) = (ours.peek(), others.peek()) {
        let other_first = match (position(server, other, key), position(server, our, key)) {
            (Some(other), Some(our)) => other < our,
            _ => false,
        };
        out.extend(if other_first { others.next() } else { ours.next() });
    }
    out.extend(ours);
    out.extend(others);
    out
}

/// Every item that the patch changes must be in the order it states, in that order.
pub fn check(change: &[Value], wanted: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut rest = wanted.iter();
    for item in change.iter().filter(|item| item.get(super::DIRECTIVE).is_none()) {
        if !rest.any(|w| same(w, item, key)) {
            return Err(PatchError::OrderMismatch(
                Value::from(change.to_vec()).to_string(),
                "$setElementOrder".to_owned(),
                Value::from(wanted.to_vec()).to_string(),
            ));
        }
    }
    Ok(())
}
