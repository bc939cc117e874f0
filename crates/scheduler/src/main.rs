//! `kogge-scheduler`: see the library.

use clap::{CommandFactory, FromArgMatches};
use component::{Shutdown, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = scheduler::Options::command().mut_arg("secure_port", |port| port.default_value("10259"));
    let options = scheduler::Options::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    logging::init(&options.log);
    scheduler::run(options, Shutdown::on_signals()?).await
}
