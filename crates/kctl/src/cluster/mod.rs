//! `kctl cluster …`: the part of the command line that works on this machine instead of through the API.
//!
//! What happens is decided in the `cluster` crate; here are the arguments, and what a person sees.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::session::GlobalOptions;

mod addons;
mod down;
mod image;
mod init;
mod join;
mod node;
mod progress;
mod renew;
mod status;
mod supervise;
mod token;
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
    /// Make this machine the first of a cluster of several, run by systemd
    Init(init::Init),
    /// Make this machine a node of a cluster
    Join(join::Join),
    /// Work with the tokens by which machines join
    #[command(subcommand)]
    Token(token::Token),
    /// Apply what the cluster of `init` needs: roles, DNS, how machines join it
    Addons(addons::Addons),
    /// Make certificates of this machine anew that end soon (a timer does it daily)
    Renew(renew::Renew),
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

/// Where a machine's files go, for commands that make them.
#[derive(Clone, Debug, Args)]
struct Root {
    /// The directory that stands for /
    #[arg(long, default_value = "/", value_name = "DIR")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Driver {
    Cgroupfs,
    Systemd,
}

impl From<Driver> for ::cluster::CgroupDriver {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Cgroupfs => Self::Cgroupfs,
            Driver::Systemd => Self::Systemd,
        }
    }
}

impl Cluster {
    pub async fn run(self, global: &GlobalOptions) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init(command) => command.run().await,
            Command::Join(command) => command.run(global.token.as_deref()).await,
            Command::Token(command) => command.run(&global.connect().await?).await,
            Command::Addons(command) => command.run(&global.connect().await?).await,
            Command::Renew(command) => command.run().await,
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
