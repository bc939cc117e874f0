//! `kctl cluster image …`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::StateDir;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Load an OCI archive into every node
    Load(Load),
}

#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    state: StateDir,
    /// The archive, as `docker save`, `podman save` and `buildah push oci-archive:` write it
    file: PathBuf,
}

impl Image {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Load(load) = self;
        for node in cluster::image_load(&load.state.dir, &load.file).await? {
            println!("{} loaded into {node}", load.file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
