//! `kctl cluster down`: of `up`'s cluster on this machine, or of what `init` and `join` have made of it.

use std::path::Path;
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
        let root = Path::new("/");
        if !self.state.dir.exists() && cluster::install::is_installed(root) {
            cluster::install::reset(root, self.purge, &display).await?;
            display.finish();
            if !self.purge {
                println!("Its state is kept; `kctl cluster init` brings it back.");
            }
            return Ok(ExitCode::SUCCESS);
        }
        cluster::down(&self.state.dir, self.purge, &display).await?;
        display.finish();
        if !self.purge {
            println!("Its state is kept in {}; `kctl cluster up` brings it back.", self.state.dir.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
