//! The API as a client sees it, from HTTP to the store and back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod custom;
mod deletes;
mod discovery;
mod every_kind;
mod harness;
mod owners;
mod pods;
mod protobuf;
mod quotas;
mod reads;
mod watches;
mod writes;
