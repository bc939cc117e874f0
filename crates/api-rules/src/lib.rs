//! The rules of the API, without any I/O: what each kind is called, what it may hold, what each verb may change, how
//! patches apply, what `get` shows, and who may do what.
//!
//! The one list of kinds is [`kinds::all`]; routes, discovery, OpenAPI, storage keys and printer columns come from it.
//! Serving, storing and admission by other programs are the API server's.

pub mod admission;
pub mod apply;
pub mod authz;
mod columns;
pub mod custom;
pub mod document;
pub mod eviction;
pub mod intern;
pub mod kind;
pub mod kinds;
pub mod metadata;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod scale;
pub mod schema;
pub mod table;
pub mod typed;
pub mod value;

pub use document::{Document, Encoding, encode, encode_with, is_noop};
pub use kind::{
    Column, Context, Decoded, FieldValidation, Kind, KindRef, Names, Requester, ScalePaths, Scope, SelectorPath,
    Storage, Subresource,
};
