//! The command line, in upstream's names.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use clap::Parser;
use component::{logging::LogOptions, side_port::SideOptions};

use crate::controllers::{Signer, TokenKey};

#[derive(Clone, Debug, Parser)]
#[command(name = "kogge-controller-manager", about = "Runs the controllers of a Kubernetes cluster", version)]
pub struct Options {
    /// How to reach the API server, and as whom
    #[arg(long)]
    pub kubeconfig: PathBuf,

    /// Controllers to run: '*' for all, a name for one, '-name' for all but one
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,

    /// Elect one of several instances to act
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,

    /// Give each node a range of pod addresses
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub allocate_node_cidrs: bool,

    /// Ranges of pod addresses (CIDRs, one per address family)
    #[arg(long, value_delimiter = ',')]
    pub cluster_cidr: Vec<String>,

    /// Ranges of service addresses, from which no pod address is taken
    #[arg(long, value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<String>,

    /// Prefix length of a node's IPv4 range
    #[arg(long, default_value_t = 24, alias = "node-cidr-mask-size")]
    pub node_cidr_mask_size_ipv4: u8,

    /// Prefix length of a node's IPv6 range
    #[arg(long, default_value_t = 64)]
    pub node_cidr_mask_size_ipv6: u8,

    /// Certificate (PEM) of the authority that signs certificate signing requests
    #[arg(long)]
    pub cluster_signing_cert_file: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long)]
    pub cluster_signing_key_file: Option<PathBuf>,

    /// Longest life of a signed certificate, in hours ("8760h")
    #[arg(long, default_value = "8760h", value_parser = duration)]
    pub cluster_signing_duration: Duration,

    /// Authority (PEM) published to every namespace
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,

    /// Key (PEM, P-256) that signs the tokens in Secrets; without it such Secrets stay empty
    #[arg(long)]
    pub service_account_private_key_file: Option<PathBuf>,

    /// How long a node may be silent before it is NotReady ("40s")
    #[arg(long, default_value = "40s", value_parser = duration)]
    pub node_monitor_grace_period: Duration,

    /// Nodes per second whose pods are evicted while their zone is healthy
    #[arg(long, default_value_t = 0.1)]
    pub node_eviction_rate: f64,

    /// The same in a zone of which most nodes are gone
    #[arg(long, default_value_t = 0.01)]
    pub secondary_node_eviction_rate: f64,

    /// Zones up to this size stop evicting instead
    #[arg(long, default_value_t = 50)]
    pub large_cluster_size_threshold: usize,

    /// Share of unready nodes from which a zone counts as unhealthy
    #[arg(long, default_value_t = 0.55)]
    pub unhealthy_zone_threshold: f64,

    /// Ended pods that may exist before the oldest are deleted; 0 deletes none
    #[arg(long, default_value_t = 12500)]
    pub terminated_pod_gc_threshold: usize,

    /// Deployments synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_deployment_syncs: usize,

    /// ReplicaSets synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_replicaset_syncs: usize,

    /// Jobs synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_job_syncs: usize,

    /// CronJobs synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_cron_job_syncs: usize,

    /// Finished jobs looked at at once for the end of their time
    #[arg(long, default_value_t = 5)]
    pub concurrent_ttl_after_finished_syncs: usize,

    /// ResourceQuotas counted at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_resource_quota_syncs: usize,

    /// ReplicationControllers synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_rc_syncs: usize,

    /// StatefulSets synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_statefulset_syncs: usize,

    /// DaemonSets synced at once
    #[arg(long, default_value_t = 2)]
    pub concurrent_daemonset_syncs: usize,

    /// Services whose endpoint slices are synced at once
    #[arg(long, default_value_t = 5)]
    pub concurrent_service_endpoint_syncs: usize,

    /// Namespaces emptied at once
    #[arg(long, default_value_t = 10)]
    pub concurrent_namespace_syncs: usize,

    /// Objects collected at once
    #[arg(long, default_value_t = 20)]
    pub concurrent_gc_syncs: usize,

    #[command(flatten)]
    pub side: SideOptions,

    #[command(flatten)]
    pub log: LogOptions,
}

impl Options {
    /// Whether `--controllers` switches the controller on.
    pub fn wants(&self, name: &str) -> bool {
        let mut all = false;
        for entry in &self.controllers {
            match entry.as_str() {
                "*" => all = true,
                entry if entry == name => return true,
                entry if entry.strip_prefix('-') == Some(name) => return false,
                _ => {}
            }
        }
        all
    }

    /// The key of tokens in Secrets, if one is configured.
    pub(crate) fn token_key(&self) -> anyhow::Result<Option<TokenKey>> {
        self.service_account_private_key_file.as_deref().map(TokenKey::read).transpose()
    }

    /// The authority of certificate signing requests, if one is configured.
    pub(crate) fn signer(&self) -> anyhow::Result<Option<Signer>> {
        match (&self.cluster_signing_cert_file, &self.cluster_signing_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Signer::from_files(certificate, key, self.cluster_signing_duration).map(Some)
            }
            _ => bail!("--cluster-signing-cert-file and --cluster-signing-key-file go together"),
        }
    }
}

/// Go's form of a duration, as far as options use it: `1h30m`, `40s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{text}: {error}"))?;
    Duration::try_from(span).map_err(|_| format!("{text}: must not be negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_controllers() {
        let check = |given: &str, name: &str, expected: bool| {
            let options = Options::parse_from(["x", "--kubeconfig", "k", "--controllers", given]);
            assert_eq!(options.wants(name), expected, "{given} {name}");
        };
        check("*", "deployment-controller", true);
        check("*,-deployment-controller", "deployment-controller", false);
        check("deployment-controller", "deployment-controller", true);
        check("deployment-controller", "namespace-controller", false);
    }

    #[test]
    fn reads_go_durations() {
        assert_eq!(duration("40s"), Ok(Duration::from_secs(40)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-1s").is_err());
    }
}
