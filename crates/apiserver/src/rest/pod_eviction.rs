//! `pods/eviction`: a delete that disruption budgets may refuse. No kind of budget is served, so none does.

use api_rules::{kinds, value};
use api_types::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{Call, delete, delete_options::DeleteOptions};
use crate::{
    answer::{self, Answer},
    negotiate::body_encoding,
};

pub async fn create(call: &Call<'_>) -> Result<Answer, Status> {
    if call.info.verb != "create" {
        return Err(call.not_supported());
    }
    let form = call.form()?;
    let kind = kinds::find_kind("policy", "v1", "Eviction").ok_or_else(Status::path_not_found)?;
    let decoded = kind.decode(&call.body, body_encoding(call.headers)?, call.field_validation()?)?;
    call.warn(decoded.warnings);
    let eviction = decoded.object;
    let name = value::text(&eviction, &["metadata", "name"]);
    if !name.is_empty() && name != call.info.name {
        return Err(Status::bad_request(format!("name in URL does not match name in Eviction object: {name}")));
    }
    let mut options = DeleteOptions::default();
    options.read(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
    options.dry_run |= call.query.dry_run()?;
    delete::delete_object(&call.without_subresource(), &options).await?;
    let mut status = Status::success();
    status.code = 201;
    Ok(answer::document(StatusCode::CREATED, Bytes::from(status.to_json()), form))
}
