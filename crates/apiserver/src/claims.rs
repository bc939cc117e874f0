//! What else has to hold and happen in the transaction that writes an object: a Service claims its ClusterIPs, node
//! ports and IPAddress objects in its own transaction, so that none is ever given out twice.

use api_types::Status;
use futures::future::BoxFuture;
use serde_json::Value;
use store::{Check, Write};

/// Added to the object's own check and write.
#[derive(Debug, Default)]
pub struct Claims {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
}

/// Implemented per kind that claims something. Called anew on each attempt: when one of the checks fails, the whole
/// write is tried again with what is then stored.
pub trait Claimant: Send + Sync {
    /// Before validation, on create (`old` is `None`) and update; may fill fields of `new`.
    fn claim<'a>(&'a self, new: &'a mut Value, old: Option<&'a Value>) -> BoxFuture<'a, Result<Claims, Status>>;

    /// When `old` is removed from storage.
    fn release<'a>(&'a self, old: &'a Value) -> BoxFuture<'a, Result<Claims, Status>>;
}
