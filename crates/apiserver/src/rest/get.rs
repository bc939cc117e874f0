//! GET of one object.

use api_types::Status;
use bytes::Bytes;
use http::StatusCode;

use super::{Call, list_options};
use crate::{
    answer::{self, Answer},
    negotiate::Media,
    render,
};

pub async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    form.check_metadata(false, call.served.kind.names().kind)?;
    let object = call.current(list_options::freshness(call.query.get("resourceVersion"))?).await?;
    if form.is_whole_json() && call.served.kind.is_storage_version() {
        return Ok(answer::document(StatusCode::OK, object.body(), form));
    }
    if form.media == Media::Protobuf {
        let body = render::protobuf_object(call.served, form, &object).map_err(Status::internal)?;
        return Ok(answer::with_body(StatusCode::OK, Bytes::from(body).into(), form.media.content_type()));
    }
    Ok(call.answer(StatusCode::OK, &object.body(), form))
}
