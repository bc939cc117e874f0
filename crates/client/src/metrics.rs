//! Registration of this crate's metrics with the process's registry.

use prometheus::core::Collector;

/// Registers a family once; its name is this crate's own.
pub(crate) fn register(family: impl Collector + 'static) {
    prometheus::register(Box::new(family)).expect("the name is used once in the process");
}
