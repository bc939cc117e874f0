//! `kctl cluster down`.

use std::process::ExitCode;

use clap::Args;

use super::StateDir;
use super::progress::Display;

#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    state: StateDir,
    /// Remove the state as well: everything in the cluster is lost
    #[arg(long)]
    purge: bool,
}

impl Down {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        cluster::down(&self.state.dir, self.purge, &display).await?;
        display.finish();
        if !self.purge {
            println!("Its state is kept in {}; `kctl cluster up` brings it back.", self.state.dir.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
