//! An applied configuration merged into what is there: members join, items join by key, leaves are replaced.
//!
//! Nothing is removed here, and nobody is asked who owns what.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    element::Element,
    items,
    schema::{ListKind, Node, Type},
};

/// Changes `live` to what it is with `config` applied. The two were found to fit the type.
pub fn merge(type_: Type, live: &mut Value, config: &Value) {
    if type_.is_leaf() {
        *live = config.clone();
        return;
    }
    match (type_.node(), &mut *live, config) {
        (Node::List { item, kind }, Value::Array(have), Value::Array(wanted)) => {
            *have = lists(type_.at(*item), kind, std::mem::take(have), wanted);
        }
        (Node::List { .. }, Value::Array(have), Value::Null) if !have.is_empty() => {}
        (Node::List { .. }, ..) => *live = config.clone(),
        (_, Value::Object(have), Value::Object(wanted)) => members(type_, have, wanted),
        (Node::Struct { .. } | Node::Map { .. }, Value::Object(have), Value::Null) if !have.is_empty() => {}
        _ => *live = config.clone(),
    }
}

fn members(type_: Type, have: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for (name, value) in wanted {
        match (have.get_mut(name), type_.member(name)) {
            (Some(present), Some(place)) => merge(place.type_, present, value),
            _ => drop(have.insert(name.clone(), value.clone())),
        }
    }
}

/// Items in both keep the order of `wanted`; those only in `have` stay where they were between them.
fn lists(type_: Type, kind: &ListKind, have: Vec<Value>, wanted: &[Value]) -> Vec<Value> {
    let element = |value: &Value| items::element(kind, value).ok();
    let left: Vec<_> = have.iter().map(element).collect();
    let right: Vec<_> = wanted.iter().map(element).collect();
    let places = |elements: &[Option<Element>]| {
        let mut places: BTreeMap<Element, Vec<usize>> = BTreeMap::new();
        for (at, element) in elements.iter().enumerate() {
            if let Some(element) = element {
                places.entry(element.clone()).or_default().push(at);
            }
        }
        places
    };
    let (in_left, in_right) = (places(&left), places(&right));
    let shared = |element: &Option<Element>| element.as_ref().is_some_and(|e| in_right.contains_key(e));
    let mut have: Vec<Option<Value>> = have.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(have.len().max(wanted.len()));
    let mut next_shared = right
        .iter()
        .filter(|e| e.as_ref().is_some_and(|e| in_left.contains_key(e)))
        .collect::<Vec<_>>()
        .into_iter()
        .peekable();
    let take = |at: usize, have: &mut Vec<Option<Value>>, out: &mut Vec<Value>| {
        let mut value = wanted[at].clone();
        // Of several items with one key none is merged with: the wanted one replaces them.
        if let Some([single]) = right[at].as_ref().and_then(|e| in_left.get(e)).map(Vec::as_slice)
            && let Some(mut present) = have[*single].take()
        {
            merge(type_, &mut present, &value);
            value = present;
        }
        out.push(value);
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                take(r, &mut have, &mut out);
                l += 1;
                r += 1;
                next_shared.next();
                continue;
            }
            if shared(&left[l]) && next_shared.peek().is_some_and(|next| **next != left[l]) {
                // It has its turn where `wanted` names it.
                l += 1;
                continue;
            }
        }
        if l < left.len() && !shared(&left[l]) {
            out.extend(have[l].take());
            l += 1;
            continue;
        }
        if r < right.len() {
            take(r, &mut have, &mut out);
            if next_shared.peek().is_some_and(|next| **next == right[r]) {
                next_shared.next();
            }
            r += 1;
            continue;
        }
        l += 1;
    }
    out
}
