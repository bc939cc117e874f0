//! The `kctl` program: parse, run, and say in one line what went wrong.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_with_the_reader();
    kctl::main(kctl::Cli::parse())
}

/// Whoever reads our output may have seen enough (`kctl get pods | head`): end quietly then, as other programs do.
#[allow(unsafe_code, reason = "signal dispositions have no safe interface")]
fn end_with_the_reader() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default disposition runs no code of ours.
    if let Err(error) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        eprintln!("warning: {error}");
    }
}
