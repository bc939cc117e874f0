//! Services and their endpoints compiled into nftables rules: the brain of `kogge-proxy`.
//!
//! [`Rules`] is fed Services and EndpointSlices and answers with the text of transactions for `nft -f -`: everything at
//! first, then only the difference from what it has handed out before. It never looks at what the kernel has; when a
//! transaction fails, its caller asks for everything again.
//!
//! - [`object`]: what is read of the API's objects
//! - [`endpoints`]: which endpoints take traffic under which policy
//! - [`compile`]: one service → the elements of maps and sets that make it work
//! - [`shadow`]: all services' elements, conflicts between services, and the difference to send
//! - [`layout`]: the tables' fixed part, and how a packet goes through it
//! - [`conntrack`]: which remembered UDP flows contradict the rules
//!
//! No I/O, and nothing about when to apply what.

pub mod compile;
pub mod conntrack;
pub mod endpoints;
pub mod frontend;
pub mod layout;
pub mod object;
pub mod rules;
pub mod shadow;

pub use frontend::{Endpoint, Family, Frontend, Protocol};
pub use rules::{Rules, Settings};
