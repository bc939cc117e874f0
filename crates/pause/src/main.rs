//! The first process of every pod's sandbox: it holds the pod's namespaces open and reaps orphans, until told to end.
//!
//! Built with the `pause` profile it is freestanding: no C library, no allocation, about a kilobyte, static. A program
//! without the standard library cannot unwind, so in every other profile it is an ordinary program of the same
//! behaviour; nothing but the tests uses that one.

#![cfg_attr(panic = "abort", no_std, no_main)]
#![expect(unsafe_code, reason = "system calls without a C library")]

mod syscall;

use syscall::{SIGCHLD, SIGINT, SIGTERM};

/// Waits for signals: children are reaped, SIGTERM and SIGINT end the process.
fn pause() -> ! {
    let signals = [SIGCHLD, SIGINT, SIGTERM].iter().fold(0, |set, signal| set | 1 << (signal - 1));
    // Blocked, not handled: the kernel keeps even from process 1 no signal that is blocked.
    syscall::block(signals);
    loop {
        match syscall::wait_for(signals) {
            SIGCHLD => while syscall::reap() {},
            SIGINT | SIGTERM => syscall::exit(0),
            _ => {}
        }
    }
}

#[cfg(panic = "abort")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    pause()
}

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    syscall::exit(2)
}

#[cfg(not(panic = "abort"))]
fn main() {
    pause()
}
