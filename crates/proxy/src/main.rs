//! `kogge-proxy`: see the library.

use clap::Parser;
use component::{Shutdown, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = proxy::Options::parse();
    logging::init(&options.log);
    proxy::run(options, Shutdown::on_signals()?).await
}
