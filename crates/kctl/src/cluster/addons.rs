//! `kctl cluster addons`.

use std::process::ExitCode;

use clap::Args;

use super::Root;
use crate::session::Session;

#[derive(Debug, Args)]
pub struct Addons {
    #[command(flatten)]
    root: Root,
}

impl Addons {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        cluster::install::addons(&session.client, &self.root.root).await?;
        println!("roles, DNS and the way for machines to join are applied");
        Ok(ExitCode::SUCCESS)
    }
}
