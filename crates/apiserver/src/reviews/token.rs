//! TokenReview: whose token is this, and is it good for those who ask?

use api_types::Status;
use serde_json::{Value, json};

use super::user_info;
use crate::{authn::bootstrap_token, core::Core, tokens::Tokens};

pub async fn review(core: &Core, tokens: &Tokens, spec: &Value) -> Result<Value, Status> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted: Vec<String> =
        spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let audiences = if wanted.is_empty() { tokens.audiences() } else { &wanted };
    if bootstrap_token::split(token).is_some() {
        return Ok(match bootstrap_token::authenticate(core, token).await {
            Some(user) => json!({"authenticated": true, "user": user_info(&user), "audiences": tokens.audiences()}),
            None => json!({"user": {}, "error": "invalid bearer token"}),
        });
    }
    if !tokens.is_ours(token) {
        return Ok(json!({"user": {}, "error": "invalid bearer token"}));
    }
    Ok(match tokens.authenticate(token, audiences).await {
        Ok(holder) => {
            json!({"authenticated": true, "user": user_info(&holder.user), "audiences": holder.audiences})
        }
        Err(why) => json!({"user": {}, "error": format!("[invalid bearer token, {why}]")}),
    })
}
