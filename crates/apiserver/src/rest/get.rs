//! GET of one object.

use api_types::Status;
use http::StatusCode;
use store::Freshness;

use super::Call;
use crate::answer::Answer;

pub async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let object = call.current(freshness(call)?).await?;
    if form.is_whole_json() && call.served.kind.is_storage_version() {
        return Ok(crate::answer::document(StatusCode::OK, object.body(), form));
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
