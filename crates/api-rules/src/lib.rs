//! api-rules

pub mod authz;
