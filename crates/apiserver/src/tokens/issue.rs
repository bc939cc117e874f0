//! `serviceaccounts/token`: a TokenRequest becomes a signed token, bound to the account and, if asked, to one more object.

use std::sync::Arc;

use api_types::{GroupResource, Status};
use serde_json::{Value, json};
use store::Freshness;

use crate::{answer, core::format_time};

use super::{
    Tokens,
    claims::{Claims, Private, Ref},
    jwt,
};

/// Lifetime in seconds if the request names none.
const DEFAULT_SECONDS: i64 = 3600;
/// What the projected volume of every pod asks for; marks a token that some client may fail to renew.
const PROJECTED_SECONDS: i64 = 3607;
/// How long such a token lives all the same, for clients that read it only once.
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

impl Tokens {
    /// Answers the request with its status filled. `request` has been validated as a TokenRequest.
    pub async fn issue(&self, namespace: &str, name: &str, mut request: Value) -> Result<Value, Status> {
        let account = self.required("serviceaccounts", namespace, name).await?;
        let spec = &mut request["spec"];
        if spec["audiences"].as_array().is_none_or(Vec::is_empty) {
            spec["audiences"] = json!(self.audiences);
        }
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
        spec["expirationSeconds"] = json!(seconds);
        let audiences: Vec<String> =
            spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();

        let mut private = Private {
            namespace: namespace.to_owned(),
            serviceaccount: Ref { name: name.to_owned(), uid: uid(&account) },
            ..Private::default()
        };
        self.bind(&mut private, &spec["boundObjectRef"]).await?;

        let now = self.core.clock.now().as_second();
        let for_this_server = audiences.iter().all(|one| self.audiences.contains(one));
        let mut lifetime = seconds;
        if private.pod.is_some() && seconds == PROJECTED_SECONDS && for_this_server {
            lifetime = EXTENDED_SECONDS;
            private.warnafter = Some(now + seconds);
        }
        let claims = Claims {
            aud: audiences,
            exp: now + lifetime,
            iat: now,
            iss: self.issuer.clone(),
            jti: self.core.random.uid(),
            kubernetes: private,
            nbf: now,
            sub: format!("system:serviceaccount:{namespace}:{name}"),
        };
        let token = jwt::sign(&claims, &self.signing).map_err(Status::internal)?;
        let expires = jiff::Timestamp::from_second(now + seconds).map_err(Status::internal)?;
        request["metadata"]["name"] = json!(name);
        request["metadata"]["namespace"] = json!(namespace);
        request["status"] = json!({"token": token, "expirationTimestamp": format_time(expires)});
        Ok(request)
    }

    async fn bind(&self, private: &mut Private, reference: &Value) -> Result<(), Status> {
        if !reference.is_object() {
            return Ok(());
        }
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let namespace = private.namespace.clone();
        let bound = match (text("apiVersion"), text("kind")) {
            ("v1", "Pod") => {
                let pod = self.required("pods", &namespace, text("name")).await?;
                let account = &private.serviceaccount.name;
                if pod["spec"]["serviceAccountName"] != **account {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                    )));
                }
                private.node = self.node_of(&pod);
                private.pod.insert(Ref { name: text("name").to_owned(), uid: uid(&pod) })
            }
            ("v1", "Secret") => {
                let secret = self.required("secrets", &namespace, text("name")).await?;
                private.secret.insert(Ref { name: text("name").to_owned(), uid: uid(&secret) })
            }
            ("v1", "Node") => {
                let node = self.required("nodes", "", text("name")).await?;
                private.node.insert(Ref { name: text("name").to_owned(), uid: uid(&node) })
            }
            (version, kind) => {
                return Err(Status::bad_request(format!("cannot bind token to object of type {version}, Kind={kind}")));
            }
        };
        let wanted = text("uid");
        if !wanted.is_empty() && wanted != bound.uid {
            let why = format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(&GroupResource::new("", text("kind").to_owned()), text("name"), why));
        }
        Ok(())
    }

    /// The node a bound pod runs on, for the record.
    fn node_of(&self, pod: &Value) -> Option<Ref> {
        let name = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())?;
        let uid = self.core.cached("", "nodes", "", name).map(|node| node.uid().to_owned()).unwrap_or_default();
        Some(Ref { name: name.to_owned(), uid })
    }

    async fn required(&self, resource: &'static str, namespace: &str, name: &str) -> Result<Value, Status> {
        let missing = || Status::not_found(&GroupResource::new("", resource), name);
        let id = self.core.resource("", resource).ok_or_else(missing)?;
        let found = self.core.store.get(&id, namespace, name, Freshness::Latest).await;
        let object: Arc<store::Object> = found.map_err(answer::store_error)?.ok_or_else(missing)?;
        Ok(object.value())
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
