//! `kogge-apiserver`: see the library.

use apiserver::Config;
use clap::Parser;
use component::{Shutdown, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Kubernetes API server
#[derive(Parser)]
#[command(name = "kogge-apiserver", version)]
struct Options {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: logging::LogOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    logging::init(&options.log);
    apiserver::run(options.config, Shutdown::on_signals()?).await
}
