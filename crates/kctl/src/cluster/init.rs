//! `kctl cluster init`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cluster::install::{self, InitOptions, Installed};

use super::progress::Display;
use super::{Driver, Root};

#[derive(Debug, Args)]
pub struct Init {
    /// This machine's address, by which the others know it [default: that of its default route]
    #[arg(long, alias = "apiserver-advertise-address", value_name = "ADDRESS")]
    advertise_address: Option<Ipv4Addr>,
    /// Where other machines reach the API server, if not there: a load balancer's HOST[:PORT]
    #[arg(long, value_name = "HOST[:PORT]")]
    control_plane_endpoint: Option<String>,
    /// Range of the pods' addresses [default: 10.244.0.0/16]
    #[arg(long, alias = "pod-network-cidr", value_name = "CIDR")]
    pod_cidr: Option<String>,
    /// Range of the services' addresses [default: 10.96.0.0/16]
    #[arg(long, value_name = "CIDR")]
    service_cidr: Option<String>,
    /// Domain of the services' names [default: cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    service_dns_domain: Option<String>,
    /// This machine's name as a node [default: its host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Further names and addresses in the API server's certificate
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    apiserver_cert_extra_sans: Vec<String>,
    /// URLs of an etcd that runs already [default: one of our own on this machine]
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    etcd_servers: Vec<String>,
    /// The authority of that etcd
    #[arg(long, value_name = "FILE")]
    etcd_cafile: Option<PathBuf>,
    /// A certificate that it accepts
    #[arg(long, value_name = "FILE")]
    etcd_certfile: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE")]
    etcd_keyfile: Option<PathBuf>,
    /// Socket of a container runtime that runs already [default: a containerd of our own]
    #[arg(long, value_name = "unix://PATH")]
    cri_socket: Option<String>,
    /// Who makes the pods' cgroups [default: systemd where it runs]
    #[arg(long, value_enum)]
    cgroup_driver: Option<Driver>,
    /// Write files, but start nothing
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    root: Root,
}

impl Init {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let options = InitOptions {
            root: self.root.root.clone(),
            advertise_address: self.advertise_address,
            control_plane_endpoint: self.control_plane_endpoint,
            pod_cidr: self.pod_cidr,
            service_cidr: self.service_cidr,
            service_dns_domain: self.service_dns_domain,
            node_name: self.node_name,
            cert_extra_sans: self.apiserver_cert_extra_sans,
            etcd_servers: self.etcd_servers,
            etcd_cafile: self.etcd_cafile,
            etcd_certfile: self.etcd_certfile,
            etcd_keyfile: self.etcd_keyfile,
            cri_socket: self.cri_socket,
            cgroup_driver: self.cgroup_driver.map(Driver::into),
            no_start: self.no_start,
        };
        let display = Display::new();
        let installed = install::init(&options, &display).await?;
        display.finish();
        match &installed.join {
            Some(join) => {
                println!("\nThe cluster is up. Next:\n");
                println!("  export KUBECONFIG=/etc/kogge/admin.kubeconfig");
                println!("  kctl get nodes\n");
                println!("Further machines join with `make install` and, within a day:\n\n  {join}");
            }
            None => {
                start_by_hand(&installed);
                println!("\nWhen the API server answers:\n\n  kctl cluster addons");
                println!("  kctl cluster token create --print-join-command");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What nobody has started.
pub fn start_by_hand(installed: &Installed) {
    println!("\nEverything is in place and nothing was started. The units of this machine:\n");
    println!("  systemctl enable --now {}", installed.units.join(" "));
}
