//! `kctl cluster up`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::StateDir;
use super::progress::Display;

#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    state: StateDir,
    /// Number of nodes; the first is this machine, each further one a network namespace on it [default: 1, or as it was]
    #[arg(long)]
    nodes: Option<usize>,
    /// Where the components' programs are [default: beside kctl]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Where the cluster's own images are [default: share/kogge/images of the installation, or out/images]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Do not wait until the nodes are Ready and DNS answers
    #[arg(long)]
    no_wait: bool,
}

impl Up {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let options = cluster::Options {
            dir: self.state.dir,
            nodes: self.nodes,
            bin_dir: self.bin_dir,
            images: self.images,
            no_wait: self.no_wait,
        };
        let summary = cluster::up(&options, &display).await?;
        display.finish();
        let seconds = summary.took.as_secs_f64();
        match summary.was_up {
            true => println!("\nThe cluster was up already ({seconds:.1} s)."),
            false => println!("\nThe cluster is up ({seconds:.1} s). Next:"),
        }
        println!();
        println!("  export KUBECONFIG={}", summary.kubeconfig.display());
        println!("  kctl get nodes");
        println!("  kctl create deployment hello --image=kogge/hello --replicas=3");
        Ok(ExitCode::SUCCESS)
    }
}
