//! `kogge-controller-manager`: runs the controllers. See the crate's library.

use clap::{CommandFactory, FromArgMatches};
use component::{Shutdown, logging};
use controller_manager::Options;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let command = Options::command().mut_arg("secure_port", |port| port.default_value("10257"));
    let options = Options::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    logging::init(&options.log);
    controller_manager::run(options, Shutdown::on_signals()?).await
}
