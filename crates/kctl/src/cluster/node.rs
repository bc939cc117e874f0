//! `kctl cluster node …`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use cluster::NodeAction;

use super::StateDir;

#[derive(Debug, Subcommand)]
pub enum Node {
    /// Switch a node off: its processes and containers end
    Stop(Target),
    /// Bring a node back that was stopped, killed or cut off
    Start(Target),
    /// Take a node's power away
    Kill(Target),
    /// Cut a node off the network while everything on it runs on
    Partition(Target),
}

#[derive(Debug, Args)]
pub struct Target {
    #[command(flatten)]
    state: StateDir,
    /// The node's name
    name: String,
}

impl Node {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (action, target, done) = match self {
            Self::Stop(target) => (NodeAction::Stop, target, "stopped"),
            Self::Start(target) => (NodeAction::Start, target, "started"),
            Self::Kill(target) => (NodeAction::Kill, target, "killed"),
            Self::Partition(target) => (NodeAction::Partition, target, "cut off"),
        };
        cluster::node(&target.state.dir, &target.name, action).await?;
        println!("node/{} {done}", target.name);
        Ok(ExitCode::SUCCESS)
    }
}
