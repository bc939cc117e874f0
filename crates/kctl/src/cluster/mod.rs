//! `kctl cluster …`: the part of the command line that works on this machine instead of through the API.
//!
//! What happens is decided in the `cluster` crate; here are the arguments, and what a person sees.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

mod down;
mod image;
mod node;
mod progress;
mod status;
mod supervise;
mod up;

/// Arguments of `kctl cluster`.
#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the cluster up; changes nothing when it is up already
    Up(up::Up),
    /// Stop the cluster and remove everything of it from this machine but its state
    Down(down::Down),
    /// Show the cluster's processes and nodes
    Status(status::Status),
    /// Work with the images of the cluster's nodes
    #[command(subcommand)]
    Image(image::Image),
    /// Stop, start, kill or cut off a node
    #[command(subcommand)]
    Node(node::Node),
    /// Keep the cluster's processes running (started by `up`)
    #[command(hide = true)]
    Supervise(supervise::Supervise),
    /// Serve the cluster's own images to its nodes (started by `up`)
    #[command(hide = true)]
    ServeImages(supervise::ServeImages),
}

/// Where the cluster's state lies: the one argument that all of these commands share.
#[derive(Clone, Debug, Args)]
struct StateDir {
    /// Directory of the cluster's state
    #[arg(long, default_value = ::cluster::DEFAULT_DIR, env = "KOGGE_DIR")]
    dir: PathBuf,
}

impl Cluster {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(command) => command.run().await,
            Command::Down(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Image(command) => command.run().await,
            Command::Node(command) => command.run().await,
            Command::Supervise(command) => command.run().await,
            Command::ServeImages(command) => command.run().await,
        }
    }
}
