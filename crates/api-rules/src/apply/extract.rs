//! The set of fields that a value names: what an applier owns from now on.

use serde_json::Value;

use super::{
    element::Element,
    items,
    schema::{ListKind, Node, Type},
    set::Set,
};

/// Every leaf and every item that `value` mentions. Items of lists that cannot be told apart are passed over; whether
/// there are such is found by `check`.
pub fn fields(type_: Type, value: &Value) -> Set {
    below(type_, value).1
}

/// Whether the value is a leaf itself, and what it names below.
fn below(type_: Type, value: &Value) -> (bool, Set) {
    if type_.is_leaf() {
        return (true, Set::default());
    }
    match (type_.node(), value) {
        (Node::List { item, kind }, Value::Array(values)) => (false, of_items(type_.at(*item), kind, values)),
        (Node::Struct { .. } | Node::Map { .. } | Node::Deduced, Value::Object(members)) => {
            let mut set = Set::default();
            for (name, value) in members {
                let Some(place) = type_.member(name) else { continue };
                let (leaf, children) = below(place.type_, value);
                let is_bare = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                set.attach(Element::field(name), leaf || is_bare || !place.named, children);
            }
            (false, set)
        }
        (Node::Deduced, _) => (true, Set::default()),
        _ => (false, Set::default()),
    }
}

fn of_items(type_: Type, kind: &ListKind, values: &[Value]) -> Set {
    let mut elements: Vec<(Element, &Value)> =
        values.iter().filter_map(|value| Some((items::element(kind, value).ok()?, value))).collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    let mut set = Set::default();
    for same in elements.chunk_by(|a, b| a.0 == b.0) {
        // What is there twice can only be owned as a whole.
        let children = if same.len() == 1 { below(type_, same[0].1).1 } else { Set::default() };
        set.attach(same[0].0.clone(), true, children);
    }
    set
}

/// `set` as the type is now: what was owned within a part that has become one value is owned as that value. `None` if it
/// fits already. A part that has become granular is not divided among its owners, as upstream.
pub fn collapsed(set: &Set, type_: Type) -> Option<Set> {
    if fits(set, type_) { None } else { Some(collapse(set, type_)) }
}

fn fits(set: &Set, type_: Type) -> bool {
    set.nodes().iter().all(|node| match inner(type_, &node.element) {
        _ if node.children.is_empty() => true,
        Some(inner) => !inner.is_leaf() && fits(&node.children, inner),
        None => true,
    })
}

fn collapse(set: &Set, type_: Type) -> Set {
    let mut all = Set::default();
    for node in set.nodes() {
        match inner(type_, &node.element) {
            Some(inner) if inner.is_leaf() => all.attach(node.element.clone(), true, Set::default()),
            Some(inner) => all.attach(node.element.clone(), node.member, collapse(&node.children, inner)),
            None => all.attach(node.element.clone(), node.member, node.children.clone()),
        }
    }
    all
}

/// The type behind an element of a value of `type_`.
fn inner<'a>(type_: Type<'a>, element: &Element) -> Option<Type<'a>> {
    match (element, type_.node()) {
        (Element::Field(name), _) => type_.member(name).map(|place| place.type_),
        (_, Node::List { item, .. }) => Some(type_.at(*item)),
        _ => None,
    }
}

/// `set` and those members of structs that lie above its paths: they go when nothing is left in them.
pub fn with_named_parents(set: &Set, type_: Type) -> Set {
    let mut all = Set::default();
    for node in set.nodes() {
        let named = match &node.element {
            Element::Field(name) => type_.member(name).is_some_and(|place| place.named),
            _ => false,
        };
        let children = match inner(type_, &node.element) {
            Some(inner) => with_named_parents(&node.children, inner),
            None => node.children.clone(),
        };
        all.attach(node.element.clone(), node.member || named, children);
    }
    all
}
