//! What a write changed: the fields that are new or have another value, and those that are gone.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value};

use super::{
    element::{Element, path_text},
    items,
    schema::{Inherent, ListKind, Node, Type},
    set::Set,
};

/// The difference between two values of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Added or modified.
    pub written: Set,
    pub removed: Set,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }

    /// Without `fields` and all below them.
    pub fn without(mut self, fields: &Set) -> Self {
        self.written.subtract_recursively(fields);
        self.removed.subtract_recursively(fields);
        self
    }

    fn attach(&mut self, element: Element, step: Step) {
        let Step { written, removed, below } = step;
        if removed || !below.removed.is_empty() {
            if written || !below.written.is_empty() {
                self.written.attach(element.clone(), written, below.written);
            }
            self.removed.attach(element, removed, below.removed);
        } else {
            self.written.attach(element, written, below.written);
        }
    }
}

/// What of `old` (`None`: nothing was there) became what of `new`. Fails if items of a list cannot be told apart.
pub fn compare(type_: Type, old: Option<&Value>, new: &Value) -> Result<Changes, String> {
    // A built-in object always has its by-value members, a custom one starts from nothing.
    let old = old.unwrap_or(&EMPTY);
    Ok(step(type_, Some(old), Some(new))?.below)
}

static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NULL: Value = Value::Null;

/// What changed at one place and below it.
#[derive(Default)]
struct Step {
    written: bool,
    removed: bool,
    below: Changes,
}

fn step(type_: Type, old: Option<&Value>, new: Option<&Value>) -> Result<Step, String> {
    if type_.is_leaf() {
        return Ok(leaf(old, new));
    }
    let mut step = match type_.node() {
        Node::List { item, kind } => {
            let (a, b) = (list(old), list(new));
            if a.is_empty() && b.is_empty() {
                return Ok(leaf(old, new));
            }
            Step { below: lists(type_.at(*item), kind, a, b)?, ..Step::default() }
        }
        Node::Deduced if !is_object(old) && !is_object(new) => return Ok(leaf(old, new)),
        Node::Deduced if is_scalar(old) || is_scalar(new) => {
            Step { below: members(type_, old, new)?, ..leaf(old, new) }
        }
        _ => {
            if is_bare(type_, old) && is_bare(type_, new) {
                return Ok(leaf(old, new));
            }
            Step { below: members(type_, old, new)?, ..Step::default() }
        }
    };
    step.written |= old.is_none();
    step.removed |= new.is_none();
    Ok(step)
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Step {
    Step { written: new.is_some() && old != new, removed: new.is_none() && old.is_some(), below: Changes::default() }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_object(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_object)
}

/// There, and neither an object nor null.
fn is_scalar(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_object() && !value.is_null())
}

/// Nothing in it, also when Go writes it.
fn is_bare(type_: Type, value: Option<&Value>) -> bool {
    match value.and_then(Value::as_object) {
        None => true,
        Some(members) => members.is_empty() && type_.members().is_none_or(|of| of.inherent().next().is_none()),
    }
}

fn members(type_: Type, old: Option<&Value>, new: Option<&Value>) -> Result<Changes, String> {
    let (a, b) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let mut changes = Changes::default();
    for (name, value) in b.into_iter().flatten() {
        let Some(place) = type_.member(name) else { continue };
        let before = a.and_then(|a| a.get(name).or_else(|| inherent(place.inherent)));
        if before == Some(value) {
            continue;
        }
        let element = Element::field(name);
        let step = step(place.type_, before, Some(value)).map_err(|why| format!("{element}{why}"))?;
        changes.attach(element, step);
    }
    let is_gone = |name: &str| b.is_none_or(|b| !b.contains_key(name));
    for (name, value) in a.into_iter().flatten().filter(|(name, _)| is_gone(name)) {
        let Some(place) = type_.member(name) else { continue };
        let after = b.and(inherent(place.inherent));
        let element = Element::field(name);
        let step = step(place.type_, Some(value), after).map_err(|why| format!("{element}{why}"))?;
        changes.attach(element, step);
    }
    if let (true, Some(of)) = (a.is_some() != b.is_some(), type_.members()) {
        // They came or went with their parent, though the document does not say so.
        let side = a.or(b);
        for member in of.inherent().filter(|m| side.is_some_and(|s| !s.contains_key(m.name.as_ref()))) {
            let step = step(type_.at(member.node), a.and(inherent(member.inherent)), b.and(inherent(member.inherent)))?;
            changes.attach(Element::field(&member.name), step);
        }
    }
    Ok(changes)
}

fn inherent(kind: Option<Inherent>) -> Option<&'static Value> {
    kind.map(|kind| match kind {
        Inherent::Empty => &*EMPTY,
        Inherent::Null => &NULL,
    })
}

type Index<'a> = BTreeMap<Element, Vec<&'a Value>>;

fn index<'a>(kind: &ListKind, values: &'a [Value]) -> Result<Index<'a>, String> {
    let mut index = Index::new();
    for (i, value) in values.iter().enumerate() {
        let element = items::element(kind, value).map_err(|why| format!(": element {i}: {why}"))?;
        index.entry(element).or_default().push(value);
    }
    Ok(index)
}

fn lists(type_: Type, kind: &ListKind, old: &[Value], new: &[Value]) -> Result<Changes, String> {
    let mut changes = Changes::default();
    if old == new {
        return Ok(changes);
    }
    let (a, b) = (index(kind, old)?, index(kind, new)?);
    for (element, values) in &a {
        if !b.contains_key(element) {
            changes.attach(element.clone(), same_items(type_, element, values, &[])?);
        }
    }
    for (element, values) in b {
        let step = same_items(type_, &element, a.get(&element).map_or(&[], Vec::as_slice), &values)?;
        changes.attach(element, step);
    }
    Ok(changes)
}

/// Items of one key. More than one on a side can only be compared as a whole.
fn same_items(type_: Type, element: &Element, old: &[&Value], new: &[&Value]) -> Result<Step, String> {
    match (old, new) {
        ([] | [_], [] | [_]) => step(type_, old.first().copied(), new.first().copied())
            .map_err(|why| format!("{}{why}", path_text([element]))),
        _ => Ok(Step { written: !new.is_empty() && old != new, removed: new.is_empty(), below: Changes::default() }),
    }
}
