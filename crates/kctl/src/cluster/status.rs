//! `kctl cluster status`.

use std::process::ExitCode;

use clap::Args;
use cluster::{ProcessState, ProcessStatus};

use super::StateDir;

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    state: StateDir,
}

impl Status {
    /// Exits with 1 when something that should run does not.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let status = cluster::status(&self.state.dir).await?;
        println!("{:<28} {:<10} {:<9} RESTARTS", "PROCESS", "STATE", "PID");
        match status.supervisor {
            Some(pid) => println!("{:<28} {:<10} {pid}", "supervisor", "Running"),
            None => println!("{:<28} Down", "supervisor"),
        }
        status.control_plane.iter().for_each(print);
        for node in &status.nodes {
            println!("\n{} ({})", node.name, node.address);
            node.processes.iter().for_each(print);
        }
        Ok(if status.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(process: &ProcessStatus) {
    let name = &process.name;
    match process.state {
        ProcessState::Running { pid, restarts } => println!("{name:<28} {:<10} {pid:<9} {restarts}", "Running"),
        ProcessState::Down => println!("{name:<28} Down"),
        ProcessState::Stopped => println!("{name:<28} Stopped"),
    }
}
