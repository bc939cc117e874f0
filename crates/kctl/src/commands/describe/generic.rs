//! Any object, field by field, with titles made from the field names: `restartCount` is `Restart Count`.

use serde_json::Value;

use super::text::{Text, word};
use crate::output::jsonpath::shown;

/// Fields that say nothing to a person.
const SKIPPED: &[&str] = &["managedFields", "labels", "annotations", "name", "namespace"];

pub fn describe(text: &mut Text, object: &Value) {
    let meta = &object["metadata"];
    text.field("Name", word(&meta["name"]));
    text.optional("Namespace", &meta["namespace"]);
    text.labels(object);
    text.optional("API Version", &object["apiVersion"]);
    text.optional("Kind", &object["kind"]);
    let secret = object["kind"] == "Secret";
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "data" | "stringData" if secret => {
                text.line("Data:");
                text.indented(|text| {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        // As kubectl: how much there is, never what.
                        let bytes = word(value).trim_end_matches('=').len() * 3 / 4;
                        text.field(key, format!("{bytes} bytes"));
                    }
                });
            }
            _ => show(text, name, value),
        }
    }
}

fn show(text: &mut Text, name: &str, value: &Value) {
    let title = title(name);
    match value {
        Value::Object(members) if members.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(members) => {
            text.line(&format!("{title}:"));
            text.indented(|text| {
                members.iter().filter(|(k, _)| !SKIPPED.contains(&k.as_str())).for_each(|(k, v)| show(text, k, v));
            });
        }
        Value::Array(items) => {
            text.line(&format!("{title}:"));
            text.indented(|text| {
                for item in items {
                    match item {
                        Value::Object(members) => members.iter().for_each(|(k, v)| show(text, k, v)),
                        other => text.line(&shown(other)),
                    }
                }
            });
        }
        Value::String(lines) if lines.contains('\n') => {
            text.line(&format!("{title}:"));
            text.indented(|text| lines.lines().for_each(|line| text.line(&line.replace('\t', "    "))));
        }
        other => text.field(&title, shown(other)),
    }
}

fn title(name: &str) -> String {
    if name.contains(['.', '-', '/', '_']) || name.chars().next().is_none_or(|c| !c.is_lowercase()) {
        return name.to_owned();
    }
    let mut out = String::new();
    let mut former = ' ';
    for c in name.chars() {
        if out.is_empty() {
            out.extend(c.to_uppercase());
        } else {
            if c.is_uppercase() && former.is_lowercase() {
                out.push(' ');
            }
            out.push(c);
        }
        former = c;
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles() {
        for (name, want) in
            [("restartCount", "Restart Count"), ("podIP", "Pod IP"), ("ca.crt", "ca.crt"), ("spec", "Spec")]
        {
            assert_eq!(super::title(name), want);
        }
    }
}
