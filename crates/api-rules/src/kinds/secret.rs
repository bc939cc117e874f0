//! Secret: like a ConfigMap, but typed, and its values are always bytes; `stringData` is only a way to write them.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::config_map::MAX_SIZE;
use crate::{
    kind::{Context, Names, Scope, Storage},
    names,
    table::{cells, duration},
    typed::Resource,
    value,
};

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub struct Secret;

impl Resource for Secret {
    type Object = v1::Secret;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Secret",
        list_kind: "SecretList",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "secrets", cached: true });
    const FIELDS: &'static [&'static str] = &["type"];

    fn set_defaults(object: &mut Value) {
        if let Some(Value::Object(texts)) = value::remove(object, &["stringData"]) {
            for (key, text) in texts {
                let bytes = STANDARD.encode(text.as_str().unwrap_or_default());
                value::set(object, &["data", &key], bytes.into());
            }
        }
        value::default(object, "type", "Opaque");
    }

    fn prepare_update(new: &mut Value, old: &Value, _: Option<&str>, _: &Context) {
        if value::text(new, &["type"]).is_empty() {
            value::copy(new, old, &["type"]);
        }
    }

    fn validate(object: &v1::Secret, errors: &mut Vec<FieldError>) {
        let mut size = 0;
        for (key, bytes) in object.data.iter().flatten() {
            size += bytes.0.len();
            let at = Path::new("data").key(key);
            errors.extend(names::config_key(key).into_iter().map(|e| FieldError::invalid(&at, key.as_str(), e)));
        }
        if size > MAX_SIZE {
            errors.push(FieldError::too_long(&Path::new("data"), MAX_SIZE));
        }
        validate_type(object, errors);
    }

    fn validate_update(new: &v1::Secret, old: &v1::Secret, _: Option<&str>, errors: &mut Vec<FieldError>) {
        if new.type_ != old.type_ {
            errors.push(FieldError::invalid(&Path::new("type"), json!(new.type_), "field is immutable"));
        }
        if old.immutable == Some(true) {
            if new.immutable != Some(true) {
                errors.push(FieldError::forbidden(&Path::new("immutable"), IMMUTABLE));
            }
            if new.data != old.data {
                errors.push(FieldError::forbidden(&Path::new("data"), IMMUTABLE));
            }
        }
    }

    fn cells(object: &v1::Secret, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name(&object.metadata),
            object.type_.clone().unwrap_or_default().into(),
            object.data.iter().flatten().count().to_string().into(),
            duration::age(&object.metadata, now),
        ]
    }
}

/// The keys that a well-known type promises to its readers.
fn validate_type(object: &v1::Secret, errors: &mut Vec<FieldError>) {
    let data = |key: &str| object.data.as_ref().and_then(|d| d.get(key));
    let mut require = |key: &str| {
        if data(key).is_none() {
            errors.push(FieldError::required(&Path::new("data").key(key), ""));
        }
    };
    match object.type_.as_deref().unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let named = object
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|a| a.get(SERVICE_ACCOUNT_NAME).is_some_and(|n| !n.is_empty()));
            if !named {
                errors.push(FieldError::required(
                    &Path::new("metadata").child("annotations").key(SERVICE_ACCOUNT_NAME),
                    "",
                ));
            }
        }
        "kubernetes.io/dockercfg" => validate_json(object, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => validate_json(object, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if data("username").is_none() && data("password").is_none() => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" => require("ssh-privatekey"),
        "kubernetes.io/tls" => {
            require("tls.crt");
            require("tls.key");
        }
        _ => {}
    }
}

fn validate_json(object: &v1::Secret, key: &str, errors: &mut Vec<FieldError>) {
    let at = Path::new("data").key(key);
    match object.data.as_ref().and_then(|d| d.get(key)) {
        None => errors.push(FieldError::required(&at, "")),
        Some(bytes) => {
            if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes.0) {
                errors.push(FieldError::invalid(&at, "<secret contents redacted>", error.to_string()));
            }
        }
    }
}
