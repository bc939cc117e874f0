//! What a command tells while it works. How it looks is the command line's business.

use std::time::Duration;

/// Receives the steps of a command. Steps may overlap; each name is begun once and ended once.
pub trait Progress: Send + Sync {
    fn begin(&self, step: &str);
    /// `detail` says what came of it, in a few words.
    fn end(&self, step: &str, took: Duration, detail: &str);
    /// Something a person should know that is not a step.
    fn note(&self, text: &str);
}

/// Says nothing: for tests and for calls from other programs.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str) {}
    fn end(&self, _step: &str, _took: Duration, _detail: &str) {}
    fn note(&self, _text: &str) {}
}
