//! The `kctl` program: parse, run, and say in one line what went wrong.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kctl::main(kctl::Cli::parse())
}
