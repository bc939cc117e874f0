//! The lines of a description: titles with values, nested by two spaces.

use serde_json::Value;

use crate::output::jsonpath::shown;

#[derive(Debug, Default)]
pub struct Text {
    out: String,
    level: usize,
}

impl Text {
    pub fn line(&mut self, line: &str) {
        self.out.extend(std::iter::repeat_n("  ", self.level));
        self.out.push_str(line);
        self.out.push('\n');
    }

    pub fn field(&mut self, title: &str, value: impl AsRef<str>) {
        self.line(&format!("{title}:\t{}", value.as_ref()));
    }

    /// A field of a JSON value; left out when unset.
    pub fn optional(&mut self, title: &str, value: &Value) {
        if !value.is_null() && value != "" {
            self.field(title, shown(value));
        }
    }

    pub fn indented(&mut self, inner: impl FnOnce(&mut Self)) {
        self.level += 1;
        inner(self);
        self.level -= 1;
    }

    /// `title:  a=b` with a line for each further entry.
    pub fn map(&mut self, title: &str, map: &Value, join: &str) {
        let Some(map) = map.as_object().filter(|m| !m.is_empty()) else {
            return self.field(title, "<none>");
        };
        let mut pairs: Vec<_> = map.iter().map(|(k, v)| format!("{k}{join}{}", shown(v))).collect();
        pairs.sort();
        for (n, pair) in pairs.iter().enumerate() {
            let title = if n == 0 { format!("{title}:") } else { String::new() };
            self.line(&format!("{title}\t{pair}"));
        }
    }

    /// Name, namespace, labels, annotations: how every description begins.
    pub fn labels(&mut self, object: &Value) {
        self.map("Labels", &object["metadata"]["labels"], "=");
        let mut annotations = object["metadata"]["annotations"].clone();
        if let Some(map) = annotations.as_object_mut() {
            map.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        self.map("Annotations", &annotations, ": ");
    }

    pub fn conditions(&mut self, object: &Value, columns: &[(&str, &str)]) {
        let Some(all) = object["status"]["conditions"].as_array().filter(|c| !c.is_empty()) else { return };
        self.line("Conditions:");
        self.indented(|text| {
            text.line(&columns.iter().map(|(title, _)| *title).collect::<Vec<_>>().join("\t"));
            text.line(&columns.iter().map(|(title, _)| "-".repeat(title.len())).collect::<Vec<_>>().join("\t"));
            for condition in all {
                text.line(&columns.iter().map(|(_, f)| shown(&condition[*f])).collect::<Vec<_>>().join("\t"));
            }
        });
    }

    pub fn finish(self) -> String {
        self.out
    }
}

/// The entries of a list, or none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A string, or nothing.
pub fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `a, b`, or `<none>`.
pub fn joined(words: impl IntoIterator<Item = String>) -> String {
    let all: Vec<_> = words.into_iter().collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(", ") }
}
