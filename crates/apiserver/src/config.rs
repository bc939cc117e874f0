//! The command line, with upstream's names.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct Config {
    /// etcd's client URLs
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    pub etcd_servers: Vec<String>,
    /// The certificate authority of etcd
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    /// The certificate shown to etcd
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
    /// The folder of all keys in etcd
    #[arg(long, default_value = "/registry")]
    pub etcd_prefix: String,
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// The address under which other machines reach this server; published in the `kubernetes` Endpoints
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    /// Who presents a certificate signed by it is the user it names
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// PEM keys that verify service account tokens; the signing key's own counts as well
    #[arg(long)]
    pub service_account_key_file: Vec<PathBuf>,
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    #[arg(long, default_value = "https://kubernetes.default.svc.cluster.local")]
    pub service_account_issuer: String,
    /// Audiences of tokens accepted here; the issuer if absent
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cluster_ip_range: String,
    #[arg(long, default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// The certificate shown to kubelets
    #[arg(long)]
    pub kubelet_client_certificate: Option<PathBuf>,
    #[arg(long)]
    pub kubelet_client_key: Option<PathBuf>,
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    #[arg(long, value_delimiter = ',', default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP")]
    pub kubelet_preferred_address_types: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "Node,RBAC")]
    pub authorization_mode: Vec<String>,
    /// Seconds after which a request that is no watch is given up
    #[arg(long, default_value_t = 60)]
    pub request_timeout: u64,
    /// Requests served at once, without watches and streams
    #[arg(long, default_value_t = 600)]
    pub max_requests_inflight: usize,
    /// Seconds a watch lives at least, if its client names no time
    #[arg(long, default_value_t = 1800)]
    pub min_request_timeout: u64,
}
