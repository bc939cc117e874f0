//! The versions of a definition: which is stored, and what beside its schema each one says.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceColumnDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
        CustomResourceSubresourceScale, JSONSchemaProps,
    },
};
use serde_json::json;

use super::schema;
use crate::{
    custom::{formats, json_path::JsonPath},
    names::dns_1035_label,
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: usize = 8;
const DEPRECATION_MAX: usize = 256;

pub fn validate(spec: &CustomResourceDefinitionSpec, path: &Path, errors: &mut Vec<FieldError>) {
    if spec.preserve_unknown_fields == Some(true) {
        errors.push(FieldError::invalid(
            &path.child("preserveUnknownFields"),
            true,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    let path = path.child("versions");
    let mut names = BTreeSet::new();
    for (i, version) in spec.versions.iter().enumerate() {
        let at = path.index(i);
        names.insert(version.name.as_str());
        let wrong = dns_1035_label(&version.name);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&at.child("name"), version.name.as_str(), wrong.join(",")));
        }
        validate_version(version, &at, errors);
    }
    if names.len() < spec.versions.len() {
        errors.push(FieldError::invalid(&path, json!(spec.versions), "must contain unique version names"));
    }
    if spec.versions.iter().filter(|version| version.storage).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&path, json!(spec.versions), why));
    }
}

fn validate_version(version: &CustomResourceDefinitionVersion, path: &Path, errors: &mut Vec<FieldError>) {
    validate_deprecation(version, &path.child("deprecationWarning"), errors);
    let subresources = version.subresources.as_ref();
    let has_status = subresources.is_some_and(|sub| sub.status.is_some());
    let at = path.child("schema").child("openAPIV3Schema");
    let root = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    match root {
        None => errors.push(FieldError::required(&at, "schemas are required")),
        Some(root) => schema::validate(root, has_status, &at, errors),
    }
    if let Some(scale) = subresources.and_then(|sub| sub.scale.as_ref()) {
        validate_scale(scale, &path.child("subresources").child("scale"), errors);
    }
    for (i, column) in version.additional_printer_columns.iter().flatten().enumerate() {
        validate_column(column, &path.child("additionalPrinterColumns").index(i), errors);
    }
    validate_selectable(version, root, &path.child("selectableFields"), errors);
}

fn validate_deprecation(version: &CustomResourceDefinitionVersion, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(text) = version.deprecation_warning.as_deref() else { return };
    let mut wrong = |why: String| errors.push(FieldError::invalid(path, text, why));
    if version.deprecated != Some(true) {
        wrong("can only be set for deprecated versions".to_owned());
    }
    if text.is_empty() {
        wrong("must not be an empty string".to_owned());
    }
    if text.len() > DEPRECATION_MAX {
        wrong(format!("must be <= {DEPRECATION_MAX} characters long"));
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        wrong(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
}

fn simple_path(text: &str, path: &Path, errors: &mut Vec<FieldError>) -> bool {
    if !text.starts_with('.') {
        errors.push(FieldError::invalid(path, text, "must be a simple json path starting with ."));
        return false;
    }
    true
}

fn validate_scale(scale: &CustomResourceSubresourceScale, path: &Path, errors: &mut Vec<FieldError>) {
    let label_selector = scale.label_selector_path.as_deref().unwrap_or_default();
    let rules: [(&str, &str, bool, &[&str], &str); 3] = [
        ("specReplicasPath", &scale.spec_replicas_path, true, &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", &scale.status_replicas_path, true, &[".status."], "should be a json path under .status"),
        (
            "labelSelectorPath",
            label_selector,
            false,
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ];
    for (member, text, required, roots, why) in rules {
        let at = path.child(member);
        if text.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
        } else if simple_path(text, &at, errors) && !roots.iter().any(|root| text.starts_with(root)) {
            errors.push(FieldError::invalid(&at, text, why));
        } else if text.contains(['[', ']']) {
            errors.push(FieldError::invalid(&at, text, "must be a json path in the dot notation"));
        }
    }
}

fn validate_column(column: &CustomResourceColumnDefinition, path: &Path, errors: &mut Vec<FieldError>) {
    if column.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let among = |list: &[&str]| format!("must be one of {}", list.join(","));
    if column.type_.is_empty() {
        errors.push(FieldError::required(&path.child("type"), among(&COLUMN_TYPES)));
    } else if !COLUMN_TYPES.contains(&column.type_.as_str()) {
        errors.push(FieldError::invalid(&path.child("type"), column.type_.as_str(), among(&COLUMN_TYPES)));
    }
    let format = column.format.as_deref().unwrap_or_default();
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(FieldError::invalid(&path.child("format"), format, among(&COLUMN_FORMATS)));
    }
    let at = path.child("JSONPath");
    let text = column.json_path.as_str();
    if text.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if simple_path(text, &at, errors)
        && let Err(why) = JsonPath::parse(text)
    {
        errors.push(FieldError::invalid(&at, text, why));
    }
}

fn validate_selectable(
    version: &CustomResourceDefinitionVersion,
    root: Option<&JSONSchemaProps>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let fields = version.selectable_fields.as_deref().unwrap_or_default();
    if fields.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, fields.len(), SELECTABLE_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let (at, text) = (path.index(i).child("jsonPath"), field.json_path.as_str());
        if text.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if !seen.insert(text) {
            errors.push(FieldError::duplicate(&at, text));
            continue;
        }
        if !simple_path(text, &at, errors) {
            continue;
        }
        if text == ".metadata" || text.starts_with(".metadata.") {
            errors.push(FieldError::invalid(&at, text, "must not point to fields in metadata"));
            continue;
        }
        match root.map(|root| leaf(root, text)) {
            None => {}
            Some(None) => errors.push(FieldError::invalid(&at, text, "is an invalid path: field not found in the schema")),
            Some(Some(leaf)) if matches!(leaf.type_.as_deref(), Some("string" | "boolean" | "integer")) => {}
            Some(Some(_)) => errors.push(FieldError::invalid(
                &at,
                text,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            )),
        }
    }
}

fn leaf<'a>(root: &'a JSONSchemaProps, path: &str) -> Option<&'a JSONSchemaProps> {
    path.split('.').skip(1).try_fold(root, |schema, member| schema.properties.as_ref()?.get(member))
}

/// What upstream warns of: formats that say nothing to it.
pub fn warnings(spec: &CustomResourceDefinitionSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, version) in spec.versions.iter().enumerate() {
        if let Some(root) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) {
            let path = Path::new("spec").child("versions").index(i).child("schema").child("openAPIV3Schema");
            schema::each(root, &path, &mut |schema, path| {
                let format = schema.format.as_deref().unwrap_or_default();
                let numeric = ["int32", "int64", "float", "double", ""];
                if !numeric.contains(&format) && !formats::KNOWN.contains(&format) && format != "uuid5" {
                    warnings.push(format!("{path}.format: unrecognized format {format:?}"));
                }
            });
        }
    }
    warnings
}
