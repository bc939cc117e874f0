//! The node as the API sees it: what the machine has, its registration, its heartbeat and its status.

pub mod lease;
pub mod machine;
pub mod registration;
pub mod status;
