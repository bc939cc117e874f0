//! `kctl`: drives a cluster as `kubectl` does, and makes one (`kctl cluster …`).
//!
//! This file has the command line as a whole. Every command is one file in `commands/` (or in `cluster/`, for those
//! that work on this machine instead of through the API): a struct of its arguments with `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod cluster;
pub mod commands;
pub mod discovery;
mod download;
pub mod manifest;
pub mod output;
pub mod session;
pub mod target;

use commands as api;
use session::{GlobalOptions, Refused};

/// Drive a Kubernetes cluster, or make one on this machine.
#[derive(Debug, Parser)]
#[command(name = "kctl", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalOptions,
    #[command(subcommand)]
    pub command: Command,
}

/// All commands, in the order that `kctl --help` shows them.
#[allow(clippy::large_enum_variant, reason = "there is one, for the life of the process")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, inspect and remove a cluster on this machine
    Cluster(cluster::Cluster),
    /// Show objects
    Get(api::get::Get),
    /// Say what the fields of a kind are for
    Explain(api::explain::Explain),
    /// Show an object in words, with what happened to it
    Describe(api::describe::Describe),
    /// Make the cluster hold what manifests say
    Apply(api::apply::Apply),
    /// Show what apply would change
    Diff(api::diff::Diff),
    /// Create objects
    Create(api::create::Create),
    /// Run an image in a pod
    Run(api::run::Run),
    /// Put a Service in front of a workload
    Expose(api::expose::Expose),
    /// Change fields that people change often
    Set(api::set::Set),
    /// Change an object in an editor
    Edit(api::edit::Edit),
    /// Put manifests in the place of what is there
    Replace(api::replace::Replace),
    /// Delete objects
    Delete(api::delete::Delete),
    /// Change fields of an object
    Patch(api::patch::Patch),
    /// Change labels
    Label(api::label::Label),
    /// Change annotations
    Annotate(api::annotate::Annotate),
    /// Set the number of replicas
    Scale(api::scale::Scale),
    /// Watch, undo and restart rollouts
    Rollout(api::rollout::Rollout),
    /// Print what containers print
    Logs(api::logs::Logs),
    /// Run a command in a container
    Exec(api::exec::Exec),
    /// This terminal on what a container runs already
    Attach(api::attach::Attach),
    /// Copy files to and from a container
    Cp(api::cp::Cp),
    /// Lead local ports to a pod
    PortForward(api::port_forward::PortForward),
    /// Show what happened lately
    Events(api::events::Events),
    /// Wait until objects are as asked
    Wait(api::wait::Wait),
    /// Keep new pods off a node
    Cordon(api::cordon::Cordon),
    /// Let new pods come to a node
    Uncordon(api::cordon::Cordon),
    /// Empty a node
    Drain(api::drain::Drain),
    /// Change what keeps pods off nodes
    Taint(api::taint::Taint),
    /// What this user may do
    Auth(api::auth::Auth),
    /// List the kinds the server serves
    ApiResources(api::api_resources::ApiResources),
    /// List the groups and versions the server serves
    ApiVersions(api::api_versions::ApiVersions),
    /// Show where the cluster answers
    ClusterInfo(api::cluster_info::ClusterInfo),
    /// Show and change the kubeconfig file
    Config(api::config::Config),
    /// Show this program's version and the server's
    Version(api::version::Version),
    /// Print a script that makes a shell complete commands
    Completion(api::completion::Completion),
}

/// Runs the command on a runtime of its own; errors are one line on stderr with their whole chain.
pub fn main(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Cluster(command) => command.run(&cli.global).await,
            Command::Config(command) => command.run(&cli.global).map(done),
            Command::Version(command) => command.run(&cli.global).await.map(done),
            Command::Completion(command) => command.run().map(done),
            command => through_api(command, &cli.global).await,
        }
    });
    // A read of the terminal that nobody answers would hold the runtime, and with it the shell's prompt.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// The commands that need the server.
async fn through_api(command: Command, global: &GlobalOptions) -> anyhow::Result<ExitCode> {
    let session = &global.connect().await?;
    match command {
        Command::Get(c) => c.run(session).await.map(done),
        Command::Explain(c) => c.run(session).await.map(done),
        Command::Describe(c) => c.run(session).await.map(done),
        Command::Diff(c) => c.run(session).await,
        Command::Run(c) => c.run(session).await.map(done),
        Command::Expose(c) => c.run(session).await.map(done),
        Command::Set(c) => c.run(session).await.map(done),
        Command::Edit(c) => c.run(session).await.map(done),
        Command::Replace(c) => c.run(session).await.map(done),
        Command::Attach(c) => c.run(session).await,
        Command::Cp(c) => c.run(session).await,
        Command::Taint(c) => c.run(session).await.map(done),
        Command::Apply(c) => c.run(session).await.map(done),
        Command::Create(c) => c.run(session).await.map(done),
        Command::Delete(c) => c.run(session).await.map(done),
        Command::Patch(c) => c.run(session).await.map(done),
        Command::Label(c) => c.run(session).await.map(done),
        Command::Annotate(c) => c.run(session).await.map(done),
        Command::Scale(c) => c.run(session).await.map(done),
        Command::Rollout(c) => c.run(session).await.map(done),
        Command::Logs(c) => c.run(session).await.map(done),
        Command::Exec(c) => c.run(session).await,
        Command::PortForward(c) => c.run(session).await.map(done),
        Command::Events(c) => c.run(session).await.map(done),
        Command::Wait(c) => c.run(session).await.map(done),
        Command::Cordon(c) => c.run(session, true).await.map(done),
        Command::Uncordon(c) => c.run(session, false).await.map(done),
        Command::Drain(c) => c.run(session).await.map(done),
        Command::Auth(c) => c.run(session).await,
        Command::ApiResources(c) => c.run(session).await.map(done),
        Command::ApiVersions(c) => c.run(session).await.map(done),
        Command::ClusterInfo(c) => c.run(session).await.map(done),
        Command::Cluster(_) | Command::Config(_) | Command::Version(_) | Command::Completion(_) => {
            unreachable!("run without the server above")
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// One line on standard error; what the server refused is worded as kubectl does.
fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Refused>() {
        Some(refused) => eprintln!("{refused}"),
        None => eprintln!("error: {error:#}"),
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
