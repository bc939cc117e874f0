//! The words of `kctl explain`, laid out as kubectl does.

use serde_json::Value;

use super::schema::Document;

const WIDTH: usize = 76;
/// Levels of `--recursive`: schemas of schemas name themselves.
const DEEPEST: usize = 16;

/// The paragraphs under `DESCRIPTION`.
pub fn description(about: &[String]) -> String {
    let mut out = "DESCRIPTION:\n".to_owned();
    if about.is_empty() {
        out.push_str("    <empty>\n");
    }
    for text in about {
        out.push_str(&wrapped(text));
    }
    out.push('\n');
    out
}

/// The values that a field may have, on lines of their own.
pub fn enumerated(schema: &Value) -> String {
    let Some(values) = schema["enum"].as_array() else { return "\n".to_owned() };
    let lines = values.iter().map(|value| format!("    {}\n", shown(value)));
    format!("ENUM:\n{}", lines.collect::<String>())
}

/// `FIELDS` with their descriptions, or with all below them.
pub fn fields(document: &Document, schema: &Value, recursive: bool) -> String {
    let fields = document.fields(schema);
    if fields.is_empty() {
        return String::new();
    }
    let mut out = "FIELDS:\n".to_owned();
    if recursive {
        outline(document, schema, 1, &mut out);
        out.push('\n');
        return out;
    }
    for (name, schema, required) in fields {
        out.push_str(&line(document, name, schema, required, 1));
        let about = document.about(schema);
        out.push_str(&about.first().map_or_else(|| "    <no description>\n".to_owned(), |text| wrapped(text)));
        out.push('\n');
    }
    out
}

fn outline(document: &Document, schema: &Value, level: usize, out: &mut String) {
    if level > DEEPEST {
        return;
    }
    for (name, schema, required) in document.fields(schema) {
        out.push_str(&line(document, name, schema, required, level));
        outline(document, schema, level + 1, out);
    }
}

fn line(document: &Document, name: &str, schema: &Value, required: bool, level: usize) -> String {
    let indent = "  ".repeat(level);
    let required = if required { " -required-" } else { "" };
    let mut out = format!("{indent}{name}\t<{}>{required}\n", document.type_of(schema));
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(shown).collect();
        out.push_str(&format!("{indent}enum: {}\n", values.join(", ")));
    }
    out
}

fn shown(value: &Value) -> String {
    match value.as_str() {
        Some("") => "\"\"".to_owned(),
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

/// Lines that go on are joined and broken anew; those that are set in stand as they are.
fn wrapped(text: &str) -> String {
    let mut paragraphs: Vec<String> = vec![];
    for line in text.lines() {
        let apart = line.trim().is_empty() || line.starts_with([' ', '\t', '*', '-']);
        match paragraphs.last_mut() {
            Some(last) if !apart && !last.is_empty() && !last.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim_end());
            }
            _ => paragraphs.push(line.trim_end().to_owned()),
        }
    }
    paragraphs
        .iter()
        .flat_map(|paragraph| broken(paragraph))
        .map(|line| format!("    {line}").trim_end().to_owned() + "\n")
        .collect()
}

fn broken(paragraph: &str) -> Vec<String> {
    let indent = &paragraph[..paragraph.len() - paragraph.trim_start().len()];
    let mut lines = vec![indent.to_owned()];
    for word in paragraph.trim_start().split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if last.len() > indent.len() && last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            if last.len() > indent.len() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        Document::new(json!({"components": {"schemas": {
            "io.example.Boat": {
                "description": "A boat.",
                "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Boat"}],
                "properties": {"spec": {"allOf": [{"$ref": "#/components/schemas/io.example.Spec"}], "description": "Its spec."}},
                "required": ["spec"],
            },
            "io.example.Spec": {
                "description": "What a boat is like.",
                "properties": {
                    "sails": {"type": "array", "items": {"type": "string", "enum": ["main", ""]}},
                    "rig": {"type": "string", "enum": ["sloop", "ketch"], "description": "How."},
                    "crew": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/io.example.Spec"}},
                },
            },
        }}}))
    }

    #[test]
    fn fields_are_found_and_shown() {
        let document = document();
        let boat = document.kind("example.com", "v1", "Boat").unwrap();
        assert_eq!(fields(&document, boat, false), "FIELDS:\n  spec\t<Spec> -required-\n    Its spec.\n\n");
        let spec = document.field(boat, "spec").unwrap();
        assert_eq!(description(&document.about(spec)), "DESCRIPTION:\n    Its spec.\n    What a boat is like.\n\n");
        let below = fields(&document, spec, false);
        assert!(below.contains("  crew\t<map[string]Spec>\n"), "{below}");
        assert!(below.contains("  rig\t<string>\n  enum: sloop, ketch\n    How.\n"), "{below}");
        assert!(below.contains("  sails\t<[]string>\n"), "{below}");
        assert!(document.field(spec, "crew").and_then(|crew| document.field(crew, "rig")).is_some());
        // A type that holds itself has an end.
        assert!(fields(&document, spec, true).lines().count() < 100);
    }

    #[test]
    fn texts_are_broken() {
        let long = "word ".repeat(40);
        assert!(wrapped(long.trim()).lines().all(|line| line.len() <= 80 && line.starts_with("    word")));
        assert_eq!(wrapped("a\nb\n  set in\nc"), "    a b\n      set in\n    c\n");
    }
}
