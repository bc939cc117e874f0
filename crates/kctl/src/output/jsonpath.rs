//! kubectl's JSONPath templates: `{.items[*].metadata.name}`, `{range …}{end}`, filters, unions, slices, recursion.
//!
//! Source of the rules: the Kubernetes documentation's page on JSONPath support.

use anyhow::{Context, bail};
use serde_json::Value;

/// A parsed template.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Part>),
}

#[derive(Clone, Debug)]
enum Step {
    Root,
    Member(String),
    AnyMember,
    Recursive,
    Slice(Option<i64>, Option<i64>, i64),
    Index(i64),
    Union(Vec<Step>),
    Filter(Vec<Step>, Comparison),
}

#[derive(Clone, Debug)]
enum Comparison {
    Exists,
    Than(&'static str, Operand),
}

#[derive(Clone, Debug)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

impl Template {
    /// Reads a template; one without braces is a single path, as `-o custom-columns` has them.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        if text.contains('{') {
            let mut parser = Parser { rest: text };
            let parts = parser.parts(false)?;
            return Ok(Self(parts));
        }
        let path = if text.starts_with(['.', '[', '$']) { text.to_owned() } else { format!(".{text}") };
        Ok(Self(vec![Part::Path(steps(&path)?)]))
    }

    pub fn render(&self, root: &Value) -> anyhow::Result<String> {
        let mut out = String::new();
        render(&self.0, root, root, &mut out)?;
        Ok(out)
    }

    /// What the template's one path finds, for columns.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        match self.0.as_slice() {
            [Part::Path(steps)] => evaluate(steps, root, vec![root]),
            _ => vec![],
        }
    }
}

/// How a value reads in text.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => super::sorted(other).to_string(),
    }
}

fn render(parts: &[Part], root: &Value, here: &Value, out: &mut String) -> anyhow::Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(steps) => {
                let found: Vec<_> = evaluate(steps, root, vec![here]).into_iter().map(shown).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(steps, body) => {
                for item in evaluate(steps, root, vec![here]) {
                    render(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

fn evaluate<'a>(steps: &[Step], root: &'a Value, mut here: Vec<&'a Value>) -> Vec<&'a Value> {
    for step in steps {
        here = here.into_iter().flat_map(|v| apply(step, root, v)).collect();
    }
    here
}

fn descend<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    out.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|v| descend(v, out)),
        Value::Object(members) => members.values().for_each(|v| descend(v, out)),
        _ => {}
    }
}

fn apply<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
    match step {
        Step::Root => vec![root],
        Step::Recursive => {
            let mut all = vec![];
            descend(value, &mut all);
            all
        }
        Step::Member(name) => value.get(name.as_str()).into_iter().collect(),
        Step::AnyMember => match value {
            Value::Object(members) => members.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => vec![],
        },
        Step::Index(n) => {
            let Some(items) = value.as_array() else { return vec![] };
            let at = if *n < 0 { items.len() as i64 + n } else { *n };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        Step::Slice(from, to, by) => {
            let Some(items) = value.as_array() else { return vec![] };
            let length = items.len() as i64;
            let place = |n: i64| (if n < 0 { n + length } else { n }).clamp(0, length) as usize;
            let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
            let step = usize::try_from(*by).unwrap_or(1).max(1);
            if from < to { items[from..to].iter().step_by(step).collect() } else { vec![] }
        }
        Step::Union(steps) => steps.iter().flat_map(|s| apply(s, root, value)).collect(),
        Step::Filter(path, comparison) => {
            let items: Vec<&Value> = match value {
                Value::Array(items) => items.iter().collect(),
                other => vec![other],
            };
            items.into_iter().filter(|item| passes(path, comparison, root, item)).collect()
        }
    }
}

fn passes(path: &[Step], comparison: &Comparison, root: &Value, item: &Value) -> bool {
    let left = evaluate(path, root, vec![item]);
    match comparison {
        Comparison::Exists => !left.is_empty(),
        Comparison::Than(operator, operand) => {
            let right = match operand {
                Operand::Literal(value) => Some(value),
                Operand::Path(path) => evaluate(path, root, vec![item]).into_iter().next(),
            };
            left.into_iter().next().zip(right).is_some_and(|(l, r)| compare(l, operator, r))
        }
    }
}

fn compare(left: &Value, operator: &str, right: &Value) -> bool {
    let order = match (left.as_f64(), right.as_f64()) {
        (Some(l), Some(r)) => l.partial_cmp(&r),
        _ => Some(shown(left).cmp(&shown(right))),
    };
    let Some(order) = order else { return false };
    match operator {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn parts(&mut self, in_range: bool) -> anyhow::Result<Vec<Part>> {
        let mut parts = vec![];
        while !self.rest.is_empty() {
            let Some(open) = self.rest.find('{') else {
                parts.push(Part::Text(std::mem::take(&mut self.rest).to_owned()));
                break;
            };
            if open > 0 {
                parts.push(Part::Text(self.rest[..open].to_owned()));
            }
            let close = closing(&self.rest[open..]).context("unclosed action")? + open;
            let inner = self.rest[open + 1..close].trim();
            self.rest = &self.rest[close + 1..];
            if inner == "end" {
                if !in_range {
                    bail!("not in range, nothing to end");
                }
                return Ok(parts);
            } else if let Some(path) = inner.strip_prefix("range ") {
                let steps = steps(path.trim())?;
                parts.push(Part::Range(steps, self.parts(true)?));
            } else if inner.starts_with(['"', '\'']) {
                parts.push(Part::Text(quoted(inner)?));
            } else {
                parts.push(Part::Path(steps(inner)?));
            }
        }
        if in_range { bail!("unterminated range") } else { Ok(parts) }
    }
}

/// Where the brace that opens `text` is closed; braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> anyhow::Result<String> {
    let quote = text.chars().next().unwrap_or('"');
    let inner = text.get(1..text.len() - 1).filter(|_| text.len() >= 2 && text.ends_with(quote));
    let inner = inner.with_context(|| format!("unterminated quoted string: {text}"))?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

fn steps(path: &str) -> anyhow::Result<Vec<Step>> {
    let mut out = vec![];
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('$') {
            out.push(Step::Root);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('@') {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("..") {
            out.push(Step::Recursive);
            rest = if after.starts_with(['[', '*']) { after } else { member(after, &mut out)? };
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.is_empty() || after.starts_with('[') { after } else { member(after, &mut out)? };
        } else if rest.starts_with('[') {
            let end = bracket(rest).with_context(|| format!("unterminated array: {path}"))?;
            out.push(subscript(rest[1..end].trim())?);
            rest = &rest[end + 1..];
        } else if let Some(after) = rest.strip_prefix('*') {
            out.push(Step::AnyMember);
            rest = after;
        } else if rest.starts_with(char::is_alphabetic) && out.is_empty() {
            rest = member(rest, &mut out)?;
        } else {
            bail!("unrecognized character in action: {:?} in {path:?}", rest.chars().next().unwrap_or(' '));
        }
    }
    Ok(out)
}

fn member<'a>(text: &'a str, out: &mut Vec<Step>) -> anyhow::Result<&'a str> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' | ' ' | ']' | '=' | '!' | '<' | '>' | ')' => {
                end = at;
                break;
            }
            c => name.push(c),
        }
    }
    if name.is_empty() {
        bail!("a field name is missing in {text:?}");
    }
    out.push(if name == "*" { Step::AnyMember } else { Step::Member(name) });
    Ok(&text[end..])
}

/// Where the bracket that opens `text` is closed.
fn bracket(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn subscript(text: &str) -> anyhow::Result<Step> {
    if let Some(inner) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        return filter(inner.trim());
    }
    let parts: Vec<&str> = split_outside_quotes(text, ',');
    if parts.len() > 1 {
        return Ok(Step::Union(parts.into_iter().map(|p| subscript(p.trim())).collect::<anyhow::Result<_>>()?));
    }
    if text == "*" {
        return Ok(Step::AnyMember);
    }
    if text.starts_with(['"', '\'']) {
        return Ok(Step::Member(quoted(text)?));
    }
    if text.contains(':') {
        let mut numbers = text.split(':').map(|n| if n.is_empty() { Ok(None) } else { n.trim().parse().map(Some) });
        let mut next = || numbers.next().unwrap_or(Ok(None)).with_context(|| format!("invalid array index {text}"));
        return Ok(Step::Slice(next()?, next()?, next()?.unwrap_or(1)));
    }
    Ok(Step::Index(text.parse().with_context(|| format!("invalid array index {text}"))?))
}

fn filter(text: &str) -> anyhow::Result<Step> {
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        let parts = split_at_operator(text, operator);
        if let Some((left, right)) = parts {
            let right = right.trim();
            let operand = if right.starts_with(['"', '\'']) {
                Operand::Literal(Value::String(quoted(right)?))
            } else if right.starts_with(['@', '$', '.']) {
                Operand::Path(steps(right)?)
            } else {
                Operand::Literal(serde_json::from_str(right).with_context(|| format!("{right} is not a value"))?)
            };
            return Ok(Step::Filter(steps(left.trim())?, Comparison::Than(operator, operand)));
        }
    }
    Ok(Step::Filter(steps(text)?, Comparison::Exists))
}

fn split_at_operator<'a>(text: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if text[at..].starts_with(operator) => return Some((&text[..at], &text[at + operator.len()..])),
            _ => {}
        }
    }
    None
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut out = vec![];
    let (mut quote, mut start) = (None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c == separator => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(template: &str, want: &str) {
        let data = json!({
            "kind": "List",
            "items": [
                {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "a"}}, "n": 1},
                {"kind": "None", "metadata": {"name": "127.0.0.2"}, "n": 2},
            ],
            "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin"}}],
        });
        let rendered =
            Template::parse(template).and_then(|t| t.render(&data)).unwrap_or_else(|e| panic!("{template}: {e}"));
        assert_eq!(rendered, want, "{template}");
    }

    #[test]
    fn documented_examples() {
        check("kind is {.kind}", "kind is List");
        check("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2");
        check("{.items[*]['metadata.name', 'n']}", "1 2");
        check("{$.items[0].n}", "1");
        check("{.items[-1:].n}", "2");
        check("{.items[0:2].n}", "1 2");
        check("{.users[?(@.name==\"e2e\")].user.username}", "admin");
        check("{..metadata.name}", "127.0.0.1 127.0.0.2");
        check("{range .items[*]}[{.metadata.name}, {.n}] {end}", "[127.0.0.1, 1] [127.0.0.2, 2] ");
        check("{range .items[*]}{.n}{\"\\n\"}{end}", "1\n2\n");
        check(r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "a");
        check("{.items[?(@.n>1)].metadata.name}", "127.0.0.2");
        check("{.missing}", "");
        check(".kind", "List");
        check("{.users[1].user}", r#"{"username":"admin"}"#);
    }

    #[test]
    fn bad_templates_are_refused() {
        for template in ["{.a", "{range .a}", "{end}", "{.a[b}", "{.a[x]}", "{\"a}"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
