//! `kctl cluster supervise` and `kctl cluster serve-images`: processes that `up` starts, for nobody to type.

use std::process::ExitCode;

use clap::Args;
use component::logging::{self, LogOptions};

use super::StateDir;

#[derive(Debug, Args)]
pub struct Supervise {
    #[command(flatten)]
    state: StateDir,
}

#[derive(Debug, Args)]
pub struct ServeImages {
    #[command(flatten)]
    state: StateDir,
}

impl Supervise {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        logging::init(&LogOptions::default());
        cluster::supervise(&self.state.dir).await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ServeImages {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        logging::init(&LogOptions::default());
        cluster::serve_images(&self.state.dir).await?;
        Ok(ExitCode::SUCCESS)
    }
}
