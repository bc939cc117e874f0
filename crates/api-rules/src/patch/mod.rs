//! The patches of the API: how each kind of patch document changes an object, as upstream applies it.
//!
//! Patches work on values. Whether the result is a valid object is decided by decoding and validating it.

mod go;
pub mod json;
pub mod merge;
pub mod strategic;

use api_types::status::{Reason, Status};

/// 422: the patch is well formed, but cannot be carried out on this object. Upstream does not tell the client why.
fn rejected(_why: impl std::error::Error) -> Status {
    Status::failure(422, Reason::Invalid, "the server rejected our request due to an error in our request")
}

fn unreadable(why: impl std::fmt::Display) -> Status {
    Status::bad_request(format!("error decoding patch: {why}"))
}
