//! `kctl cluster renew`.

use std::process::ExitCode;

use clap::Args;

use super::Root;

#[derive(Debug, Args)]
pub struct Renew {
    #[command(flatten)]
    root: Root,
}

impl Renew {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match cluster::install::renew(&self.root.root).await? {
            0 => println!("no certificate ends soon"),
            made => println!("{made} certificates made"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
