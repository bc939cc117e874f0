//! GET of one object.

use api_types::Status;
use bytes::Bytes;
use http::StatusCode;
use store::Freshness;

use super::Call;
use crate::{
    answer::{self, Answer},
    negotiate::Media,
    render,
};

pub async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let object = call.current(freshness(call)?).await?;
    if form.is_whole_json() && call.served.kind.is_storage_version() {
        return Ok(answer::document(StatusCode::OK, object.body(), form));
    }
    if form.media == Media::Protobuf {
        let body = render::protobuf_object(call.served, form.shape, &object).map_err(Status::internal)?;
        return Ok(answer::with_body(StatusCode::OK, Bytes::from(body).into(), form.media.content_type()));
    }
    Ok(call.answer(StatusCode::OK, &object.body(), form))
}

/// `resourceVersion`: absent for the newest, `0` for whatever is at hand, else not older than.
fn freshness(call: &Call<'_>) -> Result<Freshness, Status> {
    match call.query.get("resourceVersion") {
        None => Ok(Freshness::Latest),
        Some("0") => Ok(Freshness::Any),
        Some(text) => Ok(Freshness::AtLeast(super::page::revision(text)?)),
    }
}
