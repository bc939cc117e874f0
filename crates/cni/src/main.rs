//! `kogge-cni`: a CNI plugin when called as one, and the node's network agent otherwise.

use clap::{Parser, Subcommand};
use cni::agent;
use component::logging::LogOptions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "kogge-cni", version, about = "The pod network: CNI plugin and node agent")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep this node's part of the pod network
    Agent {
        #[command(flatten)]
        config: agent::Config,
        #[command(flatten)]
        log: LogOptions,
    },
}

fn main() -> anyhow::Result<()> {
    if let Some(command) = std::env::var_os("CNI_COMMAND") {
        std::process::exit(cni::plugin::main(&command.to_string_lossy()));
    }
    let Command::Agent { config, log } = Cli::parse().command;
    component::logging::init(&log);
    component::metrics::init("cni");
    component::tls::install_provider();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let shutdown = component::Shutdown::on_signals()?;
        agent::run(config, shutdown).await
    })
}
