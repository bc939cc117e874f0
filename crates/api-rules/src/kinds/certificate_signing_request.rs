//! CertificateSigningRequest: who asks stands in the request for ever; what is decided stands in its conditions.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::certificates::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    names,
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const MIN_SECONDS: i32 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub struct CertificateSigningRequest;

impl Resource for CertificateSigningRequest {
    type Object = v1::CertificateSigningRequest;

    const NAMES: Names = Names {
        group: "certificates.k8s.io",
        version: "v1",
        kind: "CertificateSigningRequest",
        list_kind: "CertificateSigningRequestList",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short_names: &["csr"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "certificatesigningrequests", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        Subresource {
            name: "approval",
            group: "certificates.k8s.io",
            version: "v1",
            kind: "CertificateSigningRequest",
            verbs: GET_PATCH_UPDATE,
        },
        Subresource {
            name: "status",
            group: "certificates.k8s.io",
            version: "v1",
            kind: "CertificateSigningRequest",
            verbs: GET_PATCH_UPDATE,
        },
    ];
    const FIELDS: &'static [&'static str] = &["spec.signerName"];
    const NAME_RULE: NameRule = metadata::path_segment;

    fn prepare_create(object: &mut Value, context: &Context) {
        let user = context.user;
        let spec = value::child(object, "spec");
        for member in ["username", "uid", "groups", "extra"] {
            value::remove(spec, &[member]);
        }
        value::set(spec, &["username"], user.name.into());
        if !user.uid.is_empty() {
            value::set(spec, &["uid"], user.uid.into());
        }
        if !user.groups.is_empty() {
            value::set(spec, &["groups"], json!(user.groups));
        }
        if !user.extra.is_empty() {
            value::set(spec, &["extra"], json!(user.extra));
        }
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, context: &Context) {
        value::copy(new, old, &["spec"]);
        match subresource {
            Some("approval") => {
                let conditions = value::at(new, &["status", "conditions"]).cloned();
                value::copy(new, old, &["status"]);
                merge_conditions(new, old, conditions, |type_| DECISIONS.contains(&type_));
            }
            Some("status") => {
                let conditions = value::at(new, &["status", "conditions"]).cloned();
                merge_conditions(new, old, conditions, |type_| !DECISIONS.contains(&type_));
            }
            _ => {}
        }
        stamp(new, old, context.now);
    }

    fn validate(object: &v1::CertificateSigningRequest, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        if let Err(why) = pem_request(&spec.request.0) {
            let given = serde_json::to_value(&spec.request).unwrap_or_default();
            errors.push(FieldError::invalid(&path.child("request"), given, why));
        }
        let usages = spec.usages.as_deref().unwrap_or_default();
        if usages.is_empty() {
            errors.push(FieldError::required(&path.child("usages"), ""));
        }
        for (i, usage) in usages.iter().enumerate() {
            let at = path.child("usages").index(i);
            if !USAGES.contains(&usage.as_str()) {
                errors.push(FieldError::not_supported(&at, usage.as_str(), &USAGES));
            } else if usages[..i].contains(usage) {
                errors.push(FieldError::duplicate(&at, usage.as_str()));
            }
        }
        signer(&spec.signer_name, &path.child("signerName"), errors);
        if let Some(seconds) = spec.expiration_seconds.filter(|s| *s < MIN_SECONDS) {
            errors.push(FieldError::invalid(
                &path.child("expirationSeconds"),
                seconds,
                format!("may not specify a duration less than {MIN_SECONDS} seconds (10 minutes)"),
            ));
        }
    }

    fn validate_update(
        new: &v1::CertificateSigningRequest,
        old: &v1::CertificateSigningRequest,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        let conditions = |object: &v1::CertificateSigningRequest| {
            object.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default()
        };
        let path = Path::new("status").child("conditions");
        let now = conditions(new);
        for gone in conditions(old).iter().filter(|o| !now.iter().any(|n| n.type_ == o.type_)) {
            errors.push(FieldError::forbidden(
                &path,
                format!("updates may not remove a condition of type {:?}", gone.type_),
            ));
        }
        if subresource == Some("approval") && DECISIONS.iter().all(|d| now.iter().any(|c| c.type_ == *d)) {
            errors.push(FieldError::invalid(
                &path,
                "Approved,Denied",
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
        for (i, condition) in now.iter().enumerate() {
            if DECISIONS.contains(&condition.type_.as_str()) && condition.status != "True" {
                errors.push(FieldError::not_supported(
                    &path.index(i).child("status"),
                    condition.status.as_str(),
                    &["True"],
                ));
            }
        }
    }

    fn cells(object: &v1::CertificateSigningRequest, now: Timestamp) -> Vec<Value> {
        let wanted = object.spec.expiration_seconds.map_or(NONE.to_owned(), |s| duration::human(s.into()));
        vec![
            cells::name(&object.metadata),
            duration::age(&object.metadata, now),
            object.spec.signer_name.as_str().into(),
            object.spec.username.clone().unwrap_or_default().into(),
            wanted.into(),
            condition(object).into(),
        ]
    }
}

/// Conditions that this path `owns` come from the request, all others stay.
fn merge_conditions(new: &mut Value, old: &Value, asked: Option<Value>, owns: impl Fn(&str) -> bool) {
    let of = |list: &[Value], owned: bool| -> Vec<Value> {
        list.iter().filter(|c| owns(value::text(c, &["type"])) == owned).cloned().collect()
    };
    let mut all = of(value::items(old, &["status", "conditions"]), false);
    all.extend(of(asked.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice), true));
    if all.is_empty() {
        value::remove(new, &["status", "conditions"]);
    } else {
        value::set(new, &["status", "conditions"], all.into());
    }
}

/// Conditions get the time they came, and the time they last changed.
fn stamp(new: &mut Value, old: &Value, now: Timestamp) {
    let time = Value::from(jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%SZ", now).unwrap_or_default());
    let before = value::items(old, &["status", "conditions"]).to_vec();
    value::each(value::child(new, "status"), "conditions", |condition| {
        let same = before.iter().find(|o| o["type"] == condition["type"]);
        value::default(condition, "status", "True");
        let since =
            same.filter(|o| o["status"] == condition["status"]).and_then(|o| o.get("lastTransitionTime")).cloned();
        value::default(condition, "lastTransitionTime", since.unwrap_or_else(|| time.clone()));
        value::default(condition, "lastUpdateTime", time.clone());
    });
}

fn signer(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    match name.split_once('/') {
        _ if name.is_empty() => errors.push(FieldError::required(path, "")),
        None => errors.push(FieldError::invalid(
            path,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        )),
        Some((domain, rest)) => {
            names::report(names::dns_subdomain(domain), path, name, errors);
            if !domain.contains('.') {
                errors.push(FieldError::invalid(
                    path,
                    name,
                    "should be a domain with at least two segments separated by dots",
                ));
            }
            if rest.is_empty() {
                errors.push(FieldError::invalid(
                    path,
                    name,
                    "must be a fully qualified domain and path of the form 'example.com/signer-name'",
                ));
            }
        }
    }
}

/// A PEM block of the right type; the signer looks inside.
fn pem_request(bytes: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "PEM block type must be CERTIFICATE REQUEST")?;
    let has = |line: &str| text.lines().any(|l| l.trim() == line);
    if has("-----BEGIN CERTIFICATE REQUEST-----") && has("-----END CERTIFICATE REQUEST-----") {
        Ok(())
    } else {
        Err("PEM block type must be CERTIFICATE REQUEST")
    }
}

fn condition(object: &v1::CertificateSigningRequest) -> String {
    let status = object.status.clone().unwrap_or_default();
    let has = |type_: &str| status.conditions.iter().flatten().any(|c| c.type_ == type_);
    let mut parts: Vec<&str> = match (has("Denied"), has("Approved")) {
        (true, _) => vec!["Denied"],
        (false, true) => vec!["Approved"],
        (false, false) => vec!["Pending"],
    };
    if has("Failed") {
        parts.push("Failed");
    }
    if status.certificate.is_some_and(|c| !c.0.is_empty()) {
        parts.push("Issued");
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Requester, kinds};

    fn update(subresource: Option<&str>, change: Value, wanted: Value) {
        let kind = kinds::find("certificates.k8s.io", "v1", "certificatesigningrequests").unwrap();
        let old = json!({"metadata": {"name": "c"}, "spec": {"username": "u"}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
        let mut new = old.clone();
        json_patch::merge(&mut new, &change);
        let (groups, extra) = (vec![], BTreeMap::new());
        let context = Context {
            now: Timestamp::UNIX_EPOCH,
            user: Requester { name: "x", uid: "", groups: &groups, extra: &extra },
        };
        kind.prepare_update(&mut new, &old, subresource, &context);
        let types: Vec<_> = value::items(&new, &["status", "conditions"]).iter().map(|c| c["type"].clone()).collect();
        assert_eq!(
            json!({"types": types, "certificate": new["status"]["certificate"], "username": new["spec"]["username"]}),
            wanted
        );
    }

    #[test]
    fn each_path_changes_its_own() {
        let change = json!({"spec": {"username": "evil"}, "status": {"certificate": "YQ==", "conditions": [{"type": "Approved", "status": "True"}]}});
        update(None, change.clone(), json!({"types": ["Failed"], "certificate": null, "username": "u"}));
        update(
            Some("approval"),
            change.clone(),
            json!({"types": ["Failed", "Approved"], "certificate": null, "username": "u"}),
        );
        update(Some("status"), change, json!({"types": [], "certificate": "YQ==", "username": "u"}));
    }
}
