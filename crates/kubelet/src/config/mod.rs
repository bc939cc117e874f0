//! The kubelet's configuration: a KubeletConfiguration file in upstream's form, and the flags that
//! differ per machine.

mod duration;
mod file;

pub use duration::GoDuration;
pub use file::{Authentication, Authorization, CgroupDriver, KubeletConfiguration};

use anyhow::Context;
use clap::Parser;
use component::logging::LogOptions;
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

/// Command line of `kogge-kubelet`.
#[derive(Clone, Debug, Parser)]
#[command(name = "kogge-kubelet", about = "Runs the pods of one node", version)]
pub struct Flags {
    /// KubeletConfiguration (kubelet.config.k8s.io/v1beta1)
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How to reach the API server; written here after a bootstrap
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Credentials to ask for a client certificate with, when there is no kubeconfig yet
    #[arg(long)]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// The node's name, instead of the machine's
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// The node's addresses, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// Where pods' volumes and the kubelet's own files lie
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Where certificates lie, if not named in the configuration
    #[arg(long)]
    pub cert_dir: Option<PathBuf>,
    /// An image that is never collected: the sandboxes'
    #[arg(long)]
    pub pod_infra_container_image: Option<String>,
    /// Labels of the node when it registers: key=value,…
    #[arg(long, value_delimiter = ',', value_parser = pair)]
    pub node_labels: Vec<(String, String)>,
    /// Taints of the node when it registers: key=value:effect,…
    #[arg(long, value_delimiter = ',')]
    pub register_with_taints: Vec<String>,
    /// The runtime's socket, over the configuration's
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    #[command(flatten)]
    pub log: LogOptions,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Everything the body needs to know, from flags and file.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    pub node_ips: Vec<IpAddr>,
    pub root_dir: PathBuf,
    pub cert_dir: PathBuf,
    pub kubeconfig: Option<PathBuf>,
    pub bootstrap_kubeconfig: Option<PathBuf>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<pod_lifecycle::core::Taint>,
    pub sandbox_image: Option<String>,
    pub file: KubeletConfiguration,
}

impl Config {
    /// # Errors
    /// When the file cannot be read, or a flag does not fit.
    pub fn load(flags: &Flags) -> anyhow::Result<Self> {
        let mut file = match &flags.config {
            Some(path) => component::config::load(path, &[("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")])?,
            None => KubeletConfiguration::default(),
        };
        if let Some(endpoint) = &flags.container_runtime_endpoint {
            file.container_runtime_endpoint = endpoint.clone();
        }
        let node_name = match &flags.hostname_override {
            Some(name) => name.clone(),
            None => nix::unistd::gethostname().context("cannot read the host's name")?.to_string_lossy().into_owned(),
        };
        let mut taints = file.register_with_taints.clone().unwrap_or_default();
        for text in &flags.register_with_taints {
            taints.push(taint(text)?);
        }
        Ok(Self {
            node_name: node_name.trim().to_lowercase(),
            node_ips: flags.node_ip.clone(),
            root_dir: flags.root_dir.clone(),
            cert_dir: flags.cert_dir.clone().unwrap_or_else(|| flags.root_dir.join("pki")),
            kubeconfig: flags.kubeconfig.clone(),
            bootstrap_kubeconfig: flags.bootstrap_kubeconfig.clone(),
            labels: flags.node_labels.iter().cloned().collect(),
            taints,
            sandbox_image: flags.pod_infra_container_image.clone(),
            file,
        })
    }
}

/// `key=value:effect` or `key:effect`.
fn taint(text: &str) -> anyhow::Result<pod_lifecycle::core::Taint> {
    let (head, effect) = text.rsplit_once(':').with_context(|| format!("taint {text:?} is not key=value:effect"))?;
    let (key, value) = head.split_once('=').map_or((head, None), |(k, v)| (k, Some(v.to_owned())));
    Ok(pod_lifecycle::core::Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None })
}
