//! The names of a definition.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionNames,
};

use crate::names::dns_1035_label;

pub fn validate(names: &CustomResourceDefinitionNames, path: &Path, errors: &mut Vec<FieldError>) {
    let singular = names.singular.as_deref().unwrap_or_default();
    let list_kind = names.list_kind.as_deref().unwrap_or_default();
    for (member, text, mixed_case) in [
        ("plural", names.plural.as_str(), false),
        ("singular", singular, false),
        ("kind", names.kind.as_str(), true),
        ("listKind", list_kind, true),
    ] {
        let at = path.child(member);
        if text.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let wrong = dns_1035_label(&if mixed_case { text.to_lowercase() } else { text.to_owned() });
        if !wrong.is_empty() {
            let lead = if mixed_case { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(FieldError::invalid(&at, text, format!("{lead}{}", wrong.join(","))));
        }
    }
    for (member, list) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        for (i, text) in list.iter().flatten().enumerate() {
            let wrong = dns_1035_label(text);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&path.child(member).index(i), text.as_str(), wrong.join(",")));
            }
        }
    }
    if !names.kind.is_empty() && names.kind == list_kind {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), list_kind, why));
    }
}
