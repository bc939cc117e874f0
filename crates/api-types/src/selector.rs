//! Label selectors and field selectors: what a list, a watch or a controller wants to see.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whatever a selector can be asked about.
pub trait Labels {
    fn get(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<&str> {
        BTreeMap::get(self, key).map(String::as_str)
    }
}

impl Labels for Option<BTreeMap<String, String>> {
    fn get(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|map| Labels::get(map, key))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for Vec<(K, V)> {
    fn get(&self, key: &str) -> Option<&str> {
        Labels::get(self.as_slice(), key)
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn get(&self, key: &str) -> Option<&str> {
        (*self).get(key)
    }
}

/// How one requirement of a label selector compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// Integers only; used by node selectors.
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// Sorted; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

impl Requirement {
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.has(v)),
            Operator::NotIn => value.is_none_or(|v| !self.has(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compare(value, |have, want| have > want),
            Operator::LessThan => self.compare(value, |have, want| have < want),
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|v| v == value)
    }

    fn compare(&self, value: Option<&str>, test: fn(i64, i64) -> bool) -> bool {
        let have = value.and_then(|v| v.parse().ok());
        let want = self.values.first().and_then(|v| v.parse().ok());
        have.zip(want).is_some_and(|(have, want)| test(have, want))
    }
}

/// All requirements must hold. Without any, everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("unable to parse requirement: {0}")]
    Parse(String),
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
    #[error("for 'in', 'notin' operators, values set can't be empty")]
    NoValues,
    #[error("values set must be empty for exists and does not exist")]
    Values,
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Field(String, String),
}

impl Selector {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn nothing() -> Self {
        Self { nothing: true, ..Self::default() }
    }

    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        Self { requirements, nothing: false }
    }

    /// Exactly these labels.
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let equals = |(k, v): (&String, &String)| Requirement {
            key: k.clone(),
            operator: Operator::In,
            values: vec![v.clone()],
        };
        Self::new(labels.into_iter().map(equals).collect())
    }

    /// As upstream: an empty selector matches everything.
    pub fn from_label_selector(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let mut requirements = Self::from_map(selector.match_labels.iter().flatten()).requirements;
        for expression in selector.match_expressions.iter().flatten() {
            let mut values = expression.values.clone().unwrap_or_default();
            values.sort();
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError::Operator(other.to_owned())),
            };
            requirements.push(requirement(expression.key.clone(), operator, values)?);
        }
        Ok(Self::new(requirements))
    }

    /// Reads the form of `kubectl -l`: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>3`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        let mut requirements = Vec::new();
        while !rest.is_empty() {
            requirements.push(parse_requirement(&mut rest)?);
            match rest {
                [] => {}
                [",", after @ ..] if !after.is_empty() => rest = after,
                [other, ..] => {
                    return Err(SelectorError::Parse(format!("found '{other}', expected: ',' or 'end of string'")));
                }
            }
        }
        Ok(Self::new(requirements))
    }

    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

fn requirement(key: String, operator: Operator, values: Vec<String>) -> Result<Requirement, SelectorError> {
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => return Err(SelectorError::NoValues),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => return Err(SelectorError::Values),
        _ => {}
    }
    if !valid_label_key(&key) {
        return Err(SelectorError::Parse(format!(
            "key: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )));
    }
    if let Some(bad) = values.iter().find(|v| !valid_label_value(v)) {
        return Err(SelectorError::Parse(format!(
            "values[0][{key}]: Invalid value: \"{bad}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )));
    }
    Ok(Requirement { key, operator, values })
}

fn valid_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let prefix_ok = prefix.is_none_or(|p| {
        !p.is_empty()
            && p.len() <= 253
            && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    });
    prefix_ok && !name.is_empty() && valid_label_value(name)
}

fn valid_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '=' if rest.starts_with("==") => 2,
            '!' if rest.starts_with("!=") => 2,
            '=' | '!' | ',' | '(' | ')' | '<' | '>' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "=!,()<>".contains(c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        out.push(token);
        rest = after.trim_start();
    }
    out
}

fn is_symbol(token: &str) -> bool {
    token.starts_with(['=', '!', ',', '(', ')', '<', '>'])
}

fn parse_requirement(rest: &mut &[&str]) -> Result<Requirement, SelectorError> {
    if let ["!", key, after @ ..] = *rest {
        *rest = after;
        return requirement((*key).to_owned(), Operator::DoesNotExist, vec![]);
    }
    let [key, after @ ..] = *rest else {
        return Err(SelectorError::Parse("found '', expected: identifier".into()));
    };
    if is_symbol(key) {
        return Err(SelectorError::Parse(format!("found '{key}', expected: !, identifier, or 'end of string'")));
    }
    let key = (*key).to_owned();
    let single = |operator: Operator, after: &mut &[&str]| {
        let value = match *after {
            [value, tail @ ..] if !is_symbol(value) => {
                *after = tail;
                (*value).to_owned()
            }
            _ => String::new(),
        };
        requirement(key.clone(), operator, vec![value])
    };
    match after {
        [] | [",", ..] => {
            *rest = after;
            requirement(key, Operator::Exists, vec![])
        }
        ["=" | "==", tail @ ..] => {
            *rest = tail;
            single(Operator::In, rest)
        }
        ["!=", tail @ ..] => {
            *rest = tail;
            single(Operator::NotIn, rest)
        }
        [">", tail @ ..] => {
            *rest = tail;
            single(Operator::GreaterThan, rest)
        }
        ["<", tail @ ..] => {
            *rest = tail;
            single(Operator::LessThan, rest)
        }
        [word @ ("in" | "notin"), "(", tail @ ..] => {
            let operator = if *word == "in" { Operator::In } else { Operator::NotIn };
            let end = tail
                .iter()
                .position(|t| *t == ")")
                .ok_or_else(|| SelectorError::Parse("found '', expected: ',', or ')'".into()))?;
            let mut values = set_values(&tail[..end])?;
            values.sort();
            values.dedup();
            *rest = &tail[end + 1..];
            requirement(key, operator, values)
        }
        [other, ..] => Err(SelectorError::Parse(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt"))),
    }
}

/// `a,b` and, as upstream reads it, `a,` as `a` and the empty value.
fn set_values(tokens: &[&str]) -> Result<Vec<String>, SelectorError> {
    let mut values = vec![];
    let mut pending = String::new();
    for token in tokens {
        match *token {
            "," => values.push(std::mem::take(&mut pending)),
            symbol if is_symbol(symbol) => {
                return Err(SelectorError::Parse(format!("found '{symbol}', expected: ',', or ')'")));
            }
            word if pending.is_empty() => pending = word.to_owned(),
            word => return Err(SelectorError::Parse(format!("found '{word}', expected: ',', or ')'"))),
        }
    }
    values.push(pending);
    Ok(values)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, r) in self.requirements.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let values = r.values.join(",");
            match r.operator {
                Operator::In if r.values.len() == 1 => write!(f, "{}={values}", r.key)?,
                Operator::In => write!(f, "{} in ({values})", r.key)?,
                Operator::NotIn if r.values.len() == 1 => write!(f, "{}!={values}", r.key)?,
                Operator::NotIn => write!(f, "{} notin ({values})", r.key)?,
                Operator::Exists => f.write_str(&r.key)?,
                Operator::DoesNotExist => write!(f, "!{}", r.key)?,
                Operator::GreaterThan => write!(f, "{}>{values}", r.key)?,
                Operator::LessThan => write!(f, "{}<{values}", r.key)?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldOperator {
    Equals,
    NotEquals,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    pub field: String,
    pub operator: FieldOperator,
    pub value: String,
}

/// `metadata.name=a,spec.nodeName!=b`; which fields exist is each kind's matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    pub fn everything() -> Self {
        Self::default()
    }

    /// `\,`, `\=` and `\\` stand for themselves.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            let bad = || SelectorError::Field(text.to_owned(), term.clone());
            let at = find_operator(&term).ok_or_else(bad)?;
            let (operator, length) = match &term[at..] {
                t if t.starts_with("!=") => (FieldOperator::NotEquals, 2),
                t if t.starts_with("==") => (FieldOperator::Equals, 2),
                _ => (FieldOperator::Equals, 1),
            };
            let value = unescape(&term[at + length..]).ok_or_else(bad)?;
            requirements.push(FieldRequirement { field: term[..at].to_owned(), operator, value });
        }
        Ok(Self { requirements })
    }

    /// An absent field counts as empty, as upstream does.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| {
            let equal = field(&r.field).unwrap_or("") == r.value;
            equal == (r.operator == FieldOperator::Equals)
        })
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that `field` must have, if the selector fixes one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let fixed = |r: &&FieldRequirement| r.field == field && r.operator == FieldOperator::Equals;
        self.requirements.iter().find(fixed).map(|r| r.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, r) in self.requirements.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let operator = if r.operator == FieldOperator::Equals { "=" } else { "!=" };
            let value = r.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", r.field)?;
        }
        Ok(())
    }
}

fn split_unescaped(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

fn find_operator(term: &str) -> Option<usize> {
    let bytes = term.as_bytes();
    (0..bytes.len()).find(|&i| bytes[i] == b'=' || (bytes[i] == b'!' && bytes.get(i + 1) == Some(&b'=')))
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                _ => return None,
            },
            '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], want: bool) {
        let parsed = Selector::parse(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
        assert_eq!(parsed.matches(labels), want, "{selector} on {labels:?}");
        assert_eq!(Selector::parse(&parsed.to_string()).unwrap(), parsed, "{selector} printed");
    }

    #[test]
    fn label_selectors() {
        let labels = [("app", "web"), ("tier", "front"), ("n", "5")];
        check("", &labels, true);
        check("app=web", &labels, true);
        check("app==web,tier!=back", &labels, true);
        check("app in (web, api)", &labels, true);
        check("app notin (web)", &labels, false);
        check("absent notin (web)", &labels, true);
        check("absent!=x", &labels, true);
        check("tier", &labels, true);
        check("!tier", &labels, false);
        check("n>4,n<6", &labels, true);
        check("n>5", &labels, false);
        check("in=x", &[("in", "x")], true);
        check("a=", &[("a", "")], true);
        check("example.com/a in (b,)", &[("example.com/a", "")], true);
    }

    #[test]
    fn bad_label_selectors() {
        for text in ["a in ()x", "a b", ",", "a=b,", "=a", "a in (b", "a=b=c", "!", "a@b", "a in (b c)"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn field_selectors() {
        let fields = |f: &str| match f {
            "metadata.name" => Some("a"),
            "status.phase" => Some("Running"),
            _ => None,
        };
        for (text, want) in [
            ("metadata.name=a", true),
            ("metadata.name==b", false),
            ("status.phase!=Failed,metadata.name=a", true),
            ("spec.nodeName=", true),
            ("", true),
        ] {
            let parsed = FieldSelector::parse(text).unwrap();
            assert_eq!(parsed.matches(fields), want, "{text}");
        }
        assert!(FieldSelector::parse("metadata.name").is_err());
        assert_eq!(FieldSelector::parse(r"a=b\,c").unwrap().requirements[0].value, "b,c");
        assert_eq!(FieldSelector::parse("a=b").unwrap().exact("a"), Some("b"));
    }

    #[test]
    fn from_wire() {
        let wire: LabelSelector = serde_json::from_str(
            r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["d","e"]}]}"#,
        )
        .unwrap();
        let selector = Selector::from_label_selector(&wire).unwrap();
        assert_eq!(selector.to_string(), "a=b,c in (d,e)");
        assert!(Selector::from_label_selector(&LabelSelector::default()).unwrap().is_everything());
        assert!(!Selector::nothing().matches(&[("a", "b")][..]));
    }
}
