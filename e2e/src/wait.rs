//! Waiting for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

/// Asks until the answer is yes; what is still wrong at the end is the error.
pub fn until(what: &str, limit: Duration, mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        let why = match ask() {
            Ok(()) => return Ok(start.elapsed()),
            Err(why) => why,
        };
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}: {why:#}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}
