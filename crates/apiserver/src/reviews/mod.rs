//! Questions about who somebody is and what they may do. Each is created, answered in its `status`, and forgotten.

mod access;
mod rules;
mod token;

use std::sync::Arc;

use api_rules::authz::User;
use api_types::Status;
use serde_json::{Value, json};

use crate::{authz::Authorizer, core::Core, request::RequestInfo, tokens::Tokens};

pub struct Reviews {
    core: Arc<Core>,
    authorizer: Arc<Authorizer>,
    tokens: Arc<Tokens>,
}

impl Reviews {
    pub fn new(core: Arc<Core>, tokens: Arc<Tokens>, authorizer: Arc<Authorizer>) -> Self {
        Self { core, authorizer, tokens }
    }

    /// Fills in the status of a review, which has been decoded and given defaults.
    pub async fn answer(&self, user: &User, info: RequestInfo<'_>, mut review: Value) -> Result<Value, Status> {
        let status = match (info.group, info.resource) {
            ("authentication.k8s.io", "tokenreviews") => {
                token::review(&self.core, &self.tokens, &review["spec"]).await?
            }
            ("authentication.k8s.io", "selfsubjectreviews") => json!({"userInfo": user_info(user)}),
            ("authorization.k8s.io", "selfsubjectrulesreviews") => {
                rules::review(&self.authorizer, user, &review["spec"])?
            }
            ("authorization.k8s.io", "selfsubjectaccessreviews") => {
                access::review(&self.authorizer, user, &review["spec"])?
            }
            ("authorization.k8s.io", "subjectaccessreviews") => {
                access::review(&self.authorizer, &access::subject(&review["spec"])?, &review["spec"])?
            }
            ("authorization.k8s.io", "localsubjectaccessreviews") => {
                let namespace = review["spec"]["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
                if namespace != info.namespace {
                    return Err(Status::bad_request(
                        "spec.resourceAttributes.namespace must match the namespace of the request",
                    ));
                }
                access::review(&self.authorizer, &access::subject(&review["spec"])?, &review["spec"])?
            }
            _ => return Err(Status::path_not_found()),
        };
        review["status"] = status;
        Ok(review)
    }
}

/// A `UserInfo`, without what is empty.
fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

#[cfg(test)]
mod tests;
