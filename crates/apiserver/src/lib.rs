//! The API server: the only one who speaks to etcd, and the one everybody speaks to.
//!
//! Read [`server`] first: one function shows the whole way of a request. What a kind allows is decided in `api-rules`;
//! what is stored and cached, in `store`. Here are the wire, the order of things, and the answers.

pub mod claims;
pub mod config;
pub mod core;
pub mod request;
pub mod request_info;
