//! What every binary has: configuration files, logging, metrics, health, TLS, an HTTP server and shutdown.
//!
//! A component's own behaviour never lives here, and neither does anything that speaks to the API server:
//! that is `client`.

pub mod access;
pub mod clock;
pub mod config;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod serve;
pub mod shutdown;
pub mod side_port;
pub mod tls;
pub mod version;

pub use access::{Access, Identity};
pub use clock::{Clock, SystemClock, TokioClock};
pub use shutdown::Shutdown;
