//! What is answered and forgotten: access and token reviews, and tokens for service accounts.

use api_rules::{Kind, kinds};
use api_types::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::Call;
use crate::{
    answer::{self, Answer},
    negotiate::{Shape, body_encoding},
    request::Operation,
};

/// A review: the body comes back with its status filled in.
pub async fn review(call: &Call<'_>) -> Result<Answer, Status> {
    let review = read(call, &*call.served.kind)?;
    let answered = call.app.reviews.answer(call.user, call.info, review).await?;
    created(call, &answered)
}

/// `serviceaccounts/token`.
pub async fn token(call: &Call<'_>) -> Result<Answer, Status> {
    if call.info.verb != "create" {
        return Err(call.not_supported());
    }
    let kind = kinds::find_kind("authentication.k8s.io", "v1", "TokenRequest").ok_or_else(Status::path_not_found)?;
    let mut request = read(call, kind)?;
    let admission = call.admission(Operation::Create, call.info.name, None, call.query.dry_run()?);
    call.app.admission.mutate(&admission, &mut request).await?;
    let answered = call.app.tokens.issue(call.info.namespace, call.info.name, request).await?;
    created(call, &answered)
}

fn read(call: &Call<'_>, kind: &dyn Kind) -> Result<Value, Status> {
    if call.form()?.shape != Shape::Whole {
        return Err(Status::not_acceptable(&["application/json", "application/yaml"]));
    }
    let decoded = kind.decode(&call.body, body_encoding(call.headers)?, call.field_validation()?)?;
    call.warn(decoded.warnings);
    let mut object = decoded.object;
    kind.set_defaults(&mut object);
    let errors = kind.validate_create(&object);
    if errors.is_empty() { Ok(object) } else { Err(Status::invalid(&kind.names().group_kind(), "", errors)) }
}

fn created(call: &Call<'_>, object: &Value) -> Result<Answer, Status> {
    Ok(answer::document(StatusCode::CREATED, Bytes::from(api_rules::encode(object)), call.form()?))
}
