//! The behaviour that both builds share: it waits, and ends cleanly when asked.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `rt_sigtimedwait`.
const WAITING: &str = if cfg!(target_arch = "aarch64") { "137 " } else { "128 " };

#[test]
fn ends_on_sigterm() {
    let mut pause = Command::new(env!("CARGO_BIN_EXE_pause")).stderr(Stdio::null()).spawn().unwrap();
    // Before it waits for signals a TERM would kill it: look for the system call that it stays in.
    let deadline = Instant::now() + Duration::from_secs(10);
    let call = format!("/proc/{}/syscall", pause.id());
    while !std::fs::read_to_string(&call).unwrap().starts_with(WAITING) {
        if Instant::now() > deadline {
            pause.kill().unwrap();
            panic!("it never waits");
        }
        std::thread::yield_now();
    }
    assert!(pause.try_wait().unwrap().is_none(), "it ended by itself");
    Command::new("kill").arg(pause.id().to_string()).status().unwrap();
    assert_eq!(pause.wait().unwrap().code(), Some(0));
}
