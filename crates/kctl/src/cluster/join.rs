//! `kctl cluster join`.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use cluster::install::{self, JoinOptions};

use super::init::start_by_hand;
use super::progress::Display;
use super::{Driver, Root};

#[derive(Debug, Args)]
pub struct Join {
    /// HOST[:PORT] of an API server; the bootstrap token is given with --token
    address: String,
    /// Digest of the public key of the cluster's authority: sha256:…
    #[arg(long, value_name = "HASH")]
    discovery_token_ca_cert_hash: Vec<String>,
    /// Trust whatever authority a server that knows the token names
    #[arg(long)]
    discovery_token_unsafe_skip_ca_verification: bool,
    /// This machine's name as a node [default: its host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// This machine's address [default: the one by which it reaches the API server]
    #[arg(long, value_name = "ADDRESS")]
    node_ip: Option<Ipv4Addr>,
    /// Socket of a container runtime that runs already [default: a containerd of our own]
    #[arg(long, value_name = "unix://PATH")]
    cri_socket: Option<String>,
    /// Who makes the pods' cgroups [default: systemd where it runs]
    #[arg(long, value_enum)]
    cgroup_driver: Option<Driver>,
    /// Not here: a further control plane begins with the first one's keys
    #[arg(long)]
    control_plane: bool,
    /// Write files, but start nothing
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    root: Root,
}

impl Join {
    pub async fn run(self, token: Option<&str>) -> anyhow::Result<ExitCode> {
        if self.control_plane {
            bail!(
                "--control-plane: keys do not travel through the cluster. Copy /etc/kogge/pki/ca.crt, ca.key, sa.key and \
                 sa.pub of the first control plane to this machine and type `kctl cluster init --etcd-servers=…` with the \
                 same etcd, ranges and --control-plane-endpoint"
            );
        }
        let hashes = self.discovery_token_ca_cert_hash;
        match (hashes.is_empty(), self.discovery_token_unsafe_skip_ca_verification) {
            (true, false) => bail!(
                "need to verify CACertHashes, or set --discovery-token-unsafe-skip-ca-verification (`kctl cluster token \
                 create --print-join-command` on a control plane prints the hash)"
            ),
            (false, true) => bail!(
                "--discovery-token-ca-cert-hash and --discovery-token-unsafe-skip-ca-verification exclude each other"
            ),
            _ => {}
        }
        if let Some(odd) = hashes.iter().find(|hash| !is_hash(hash)) {
            bail!("invalid hash {odd:?}, expected \"sha256:\" and 64 hexadecimal digits");
        }
        let options = JoinOptions {
            root: self.root.root.clone(),
            address: self.address,
            token: token
                .context("--token is missing: `kctl cluster token create` on a control plane makes one")?
                .to_owned(),
            ca_cert_hashes: hashes,
            node_name: self.node_name,
            node_ip: self.node_ip,
            cri_socket: self.cri_socket,
            cgroup_driver: self.cgroup_driver.map(Driver::into),
            no_start: self.no_start,
        };
        let display = Display::new();
        let installed = install::join(&options, &display).await?;
        display.finish();
        if installed.started {
            println!("\nThis machine is a node of the cluster: `kctl get nodes` on a control plane shows it.");
        } else {
            start_by_hand(&installed);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}
