//! `kctl attach`: this terminal on a process that a container runs already.

use std::{io::IsTerminal, process::ExitCode};

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};

use super::{
    exec::{RawTerminal, attend, refusal},
    logs::{container_of, pod_of},
};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Attach {
    /// POD or TYPE/NAME
    pod: String,
    /// The container
    #[arg(long, short)]
    container: Option<String>,
    /// Pass standard input
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(long, short = 't')]
    tty: bool,
    /// Only what the process prints
    #[arg(long, short)]
    quiet: bool,
}

impl Attach {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let pod = pod_of(session, &self.pod).await?;
        let container = container_of(&pod, self.container.as_deref(), !self.quiet)?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(&session.namespace);
        let of_container =
            pod["spec"]["containers"].as_array().into_iter().flatten().find(|c| c["name"] == container.as_str());
        let has_tty = of_container.is_some_and(|container| container["tty"] == true);
        if self.tty && !has_tty {
            eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
        }
        let tty = self.tty && has_tty && std::io::stdin().is_terminal();
        if !self.quiet && self.stdin {
            eprintln!("If you don't see a command prompt, try pressing enter.");
        }
        let parameters = AttachParams {
            container: Some(container),
            stdin: self.stdin,
            stdout: true,
            stderr: !has_tty,
            tty: has_tty,
            ..AttachParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
        let process = pods.attach(name, &parameters).await.map_err(refusal)?;
        let raw = tty.then(RawTerminal::enter).transpose()?;
        let outcome = attend(process, tty).await;
        drop(raw);
        outcome
    }
}
