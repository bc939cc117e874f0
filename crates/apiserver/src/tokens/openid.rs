//! `/.well-known/openid-configuration` and `/openid/v1/jwks`: what others need to prove our tokens.

use component::serve::Body;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::{Tokens, keys::VerifyingKey};

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

impl Tokens {
    /// `None` for other paths.
    pub fn serve(&self, path: &str) -> Option<Response<Body>> {
        match path {
            CONFIGURATION => Some(answer(&self.configuration(), "application/json")),
            KEYS => Some(answer(&self.key_set(), "application/jwk-set+json")),
            _ => None,
        }
    }

    fn configuration(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}{KEYS}", self.issuer.trim_end_matches('/')),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn key_set(&self) -> Value {
        json!({"keys": self.verifying.iter().map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
    }
}

fn answer(document: &Value, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(document.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
