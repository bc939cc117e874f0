//! `kogge-kubelet`: parses its flags and runs.

use clap::Parser;
use component::{Shutdown, logging};
use kubelet::config::{Config, Flags};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    logging::init(&flags.log);
    let config = Config::load(&flags)?;
    kubelet::run(config, Shutdown::on_signals()?).await
}
