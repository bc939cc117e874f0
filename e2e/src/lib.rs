//! What the end-to-end tests share: finding what was built, running commands with a bound, waiting for conditions, and
//! a list of scenarios that is run in order and reported like any other test.
//!
//! The tests themselves are `sim` (every body in one process), `integration` (a real etcd under a real API server) and
//! `cluster` (real nodes, containers and packets).

pub mod bench;
pub mod built;
pub mod clients;
pub mod scenario;
pub mod shell;
pub mod wait;
