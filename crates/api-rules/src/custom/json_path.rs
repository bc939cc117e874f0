//! The JSONPath of printer columns: members, items, wildcards, descent and simple filters.
//!
//! Arithmetic, functions and unions are no part of it; whoever writes a definition is told.

use std::borrow::Cow;

use serde_json::Value;

/// Nodes that a path may lead to; the first one is shown.
const MAX_FOUND: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    /// Counted from the end if negative.
    Item(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Descend,
    Where(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    test: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text, whole: text };
        let steps = reader.steps()?;
        if reader.rest.is_empty() { Ok(Self(steps)) } else { Err(reader.unexpected()) }
    }

    /// What it leads to first.
    pub fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.find(root).into_iter().next()
    }

    fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![root], |found, step| {
            let mut next = Vec::new();
            for value in found {
                step.take(value, &mut next);
                if next.len() > MAX_FOUND {
                    break;
                }
            }
            next
        })
    }
}

impl Step {
    fn take<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match self {
            Self::Member(name) => found.extend(value.get(name)),
            Self::Item(index) => {
                if let Some(items) = value.as_array() {
                    found.extend(items.get(position(*index, items.len())));
                }
            }
            Self::Slice(from, to) => {
                if let Some(items) = value.as_array() {
                    let end = to.map_or(items.len(), |to| position(to, items.len()).min(items.len()));
                    let start = from.map_or(0, |from| position(from, items.len())).min(end);
                    found.extend(&items[start..end]);
                }
            }
            Self::All => found.extend(inner(value)),
            Self::Descend => descend(value, found),
            Self::Where(filter) => found.extend(inner(value).filter(|item| filter.holds(item))),
        }
    }
}

fn position(index: i64, length: usize) -> usize {
    let at = if index < 0 { index + length as i64 } else { index };
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn inner(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    if found.len() > MAX_FOUND {
        return;
    }
    found.push(value);
    inner(value).for_each(|inner| descend(inner, found));
}

impl Filter {
    fn holds(&self, item: &Value) -> bool {
        let Some(found) = self.path.first(item) else { return false };
        let Some((comparison, wanted)) = &self.test else { return true };
        let order = match (found, wanted) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) if a == b => Some(std::cmp::Ordering::Equal),
            _ => None,
        };
        match comparison {
            Comparison::Equal => order.is_some_and(|order| order.is_eq()),
            Comparison::Unequal => order.is_none_or(|order| order.is_ne()),
            Comparison::Less => order.is_some_and(|order| order.is_lt()),
            Comparison::LessOrEqual => order.is_some_and(|order| order.is_le()),
            Comparison::Greater => order.is_some_and(|order| order.is_gt()),
            Comparison::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl<'a> Reader<'a> {
    fn unexpected(&self) -> String {
        format!("cannot be read from {:?} on", &self.whole[self.whole.len() - self.rest.len()..])
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        loop {
            if self.eat("..") {
                steps.push(Step::Descend);
                if !self.rest.starts_with('[') {
                    steps.push(self.member()?);
                }
            } else if self.eat(".") {
                if self.rest.is_empty() || self.rest.starts_with('[') {
                    continue;
                }
                steps.push(self.member()?);
            } else if self.eat("[") {
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A name up to the next step; a backslash takes the meaning from a dot.
    fn member(&mut self) -> Result<Step, String> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' | ' ' | '=' | '!' | '<' | '>' | ')' | ']' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        if name.is_empty() {
            return Err(self.unexpected());
        }
        self.rest = &self.rest[end..];
        Ok(Step::Member(name))
    }

    fn bracket(&mut self) -> Result<Step, String> {
        let step = if self.eat("*") {
            Step::All
        } else if self.eat("?(") {
            let filter = self.filter()?;
            if !self.eat(")") {
                return Err(self.unexpected());
            }
            Step::Where(filter)
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Member(self.quoted()?.into_owned())
        } else {
            let end = self.rest.find(']').ok_or_else(|| self.unexpected())?;
            let inside = self.rest[..end].trim();
            let number = |text: &str| match text.trim() {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| self.unexpected()),
            };
            let step = match inside.split_once(':') {
                Some((from, to)) => Step::Slice(number(from)?, number(to)?),
                None => Step::Item(number(inside)?.ok_or_else(|| self.unexpected())?),
            };
            self.rest = &self.rest[end..];
            step
        };
        if self.eat("]") { Ok(step) } else { Err(self.unexpected()) }
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c if Some(c) == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text.into());
                }
                c => text.push(c),
            }
        }
        Err(self.unexpected())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn filter(&mut self) -> Result<Filter, String> {
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        self.space();
        if !self.eat("@") {
            return Err(self.unexpected());
        }
        let path = JsonPath(self.steps()?);
        self.space();
        let Some((_, comparison)) = COMPARISONS.into_iter().find(|(sign, _)| self.eat(sign)) else {
            return Ok(Filter { path, test: None });
        };
        self.space();
        let wanted = if self.rest.starts_with(['\'', '"']) {
            Value::from(self.quoted()?.into_owned())
        } else {
            let end = self.rest.find(')').ok_or_else(|| self.unexpected())?;
            let literal = serde_json::from_str(self.rest[..end].trim()).map_err(|_| self.unexpected())?;
            self.rest = &self.rest[end..];
            literal
        };
        self.space();
        Ok(Filter { path, test: Some((comparison, wanted)) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(path: &str, wanted: Option<Value>) {
        let object = object();
        assert_eq!(JsonPath::parse(path).unwrap().first(&object).cloned(), wanted, "{path}");
    }

    #[test]
    fn leads_to_values() {
        check(".spec.replicas", Some(json!(3)));
        check(".metadata.name", Some(json!("n")));
        check(r".metadata.labels.a\.b/c", Some(json!("x")));
        check(".metadata.labels['a.b/c']", Some(json!("x")));
        check(".spec.list[1].a", Some(json!(2)));
        check(".spec.list[-1].a", Some(json!(3)));
        check(".spec.list[1:].a", Some(json!(2)));
        check(".spec.list[*].a", Some(json!(1)));
        check(".spec.list[*]", Some(json!({"a": 1})));
        check("..replicas", Some(json!(3)));
        check(r#".status.conditions[?(@.type=="Ready")].status"#, Some(json!("True")));
        check(".status.conditions[?(@.type != 'Ready')].status", Some(json!("False")));
        check(".status.conditions[?(@.n > 5)].type", Some(json!("Odd")));
        check(".status.conditions[?(@.n)].type", Some(json!("Odd")));
        check(".status.none", None);
        check(".spec.list[9]", None);
        check(".", Some(object()));
    }

    fn object() -> Value {
        json!({
            "metadata": {"labels": {"a.b/c": "x"}, "name": "n"},
            "spec": {"replicas": 3, "list": [{"a": 1}, {"a": 2}, {"a": 3}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Odd", "status": "False", "n": 7}]},
        })
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for path in [".a[", ".a[x]", ".a[?(b)]", ".a[?(@.b==)]", ".a b", ".a['b]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
