//! `kctl cluster image …`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::StateDir;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Load an OCI archive into every node
    Load(Load),
    /// Import images into this machine's containerd (run by kogge-images.service)
    Import(Import),
}

#[derive(Debug, Args)]
pub struct Import {
    /// containerd's socket
    #[arg(long, value_name = "unix://PATH")]
    endpoint: String,
    /// Where the cluster's own images are [default: share/kogge/images of the installation]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Archives [default: the images that every node needs]
    files: Vec<PathBuf>,
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
        let load = match self {
            Self::Import(import) => {
                for file in cluster::image_import(&import.endpoint, import.images.as_deref(), &import.files).await? {
                    println!("{} imported", file.display());
                }
                return Ok(ExitCode::SUCCESS);
            }
            Self::Load(load) => load,
        };
        for node in cluster::image_load(&load.state.dir, &load.file).await? {
            println!("{} loaded into {node}", load.file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
