//! TokenRequest: the body of `serviceaccounts/token`; the server answers with a token.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::authentication::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

/// Lifetimes that may be asked for, in seconds.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

pub struct TokenRequest;

impl Resource for TokenRequest {
    type Object = v1::TokenRequest;

    const NAMES: Names = Names {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        list_kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = &[];
    const STORAGE: Option<Storage> = None;

    fn validate(object: &v1::TokenRequest, errors: &mut Vec<FieldError>) {
        let Some(seconds) = object.spec.as_ref().and_then(|spec| spec.expiration_seconds) else { return };
        let path = Path::new("spec").child("expirationSeconds");
        if seconds < SHORTEST {
            errors.push(FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > LONGEST {
            errors.push(FieldError::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }

    fn cells(object: &v1::TokenRequest, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        let check = |seconds: Option<i64>, wanted: &[&str]| {
            let spec = v1::TokenRequestSpec { expiration_seconds: seconds, ..v1::TokenRequestSpec::default() };
            let mut errors = Vec::new();
            TokenRequest::validate(&v1::TokenRequest { spec: Some(spec), ..v1::TokenRequest::default() }, &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
        };
        check(None, &[]);
        check(Some(600), &[]);
        check(Some(1 << 32), &[]);
        check(
            Some(60),
            &["spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes"],
        );
        check(
            Some((1 << 32) + 1),
            &["spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"],
        );
    }
}
