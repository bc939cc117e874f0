//! `kogge-controller-manager`: runs the controllers. See the crate's library.

use clap::Parser;
use component::{Shutdown, logging};
use controller_manager::Options;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    logging::init(&options.log);
    controller_manager::run(options, Shutdown::on_signals()?).await
}
