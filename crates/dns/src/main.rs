//! `kogge-dns`: the cluster's DNS server.

use clap::Parser;
use component::logging::LogOptions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "kogge-dns", version)]
struct Cli {
    #[command(flatten)]
    config: dns::Config,
    #[command(flatten)]
    log: LogOptions,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    component::logging::init(&cli.log);
    component::metrics::init("dns");
    component::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = component::Shutdown::on_signals()?;
        dns::run(cli.config, shutdown).await
    })
}
