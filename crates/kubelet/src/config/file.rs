//! `KubeletConfiguration` v1beta1, as far as this kubelet acts on it. A field that it does not know
//! is an error at start, never ignored.

use super::GoDuration;
use pod_lifecycle::core::Taint;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeletConfiguration {
    pub address: std::net::IpAddr,
    pub port: u16,
    pub tls_cert_file: Option<PathBuf>,
    pub tls_private_key_file: Option<PathBuf>,
    pub authentication: Authentication,
    pub authorization: Authorization,
    pub rotate_certificates: bool,
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub resolv_conf: PathBuf,
    pub container_runtime_endpoint: String,
    pub cgroup_driver: CgroupDriver,
    pub cgroup_root: String,
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: bool,
    pub static_pod_path: Option<PathBuf>,
    #[serde(rename = "staticPodURL")]
    pub static_pod_url: String,
    #[serde(rename = "staticPodURLHeader")]
    pub static_pod_url_header: BTreeMap<String, Vec<String>>,
    pub file_check_frequency: GoDuration,
    pub http_check_frequency: GoDuration,
    pub pod_logs_dir: PathBuf,
    pub container_log_max_size: String,
    pub container_log_max_files: u32,
    pub container_log_monitor_interval: GoDuration,
    pub max_pods: u32,
    pub pod_pids_limit: i64,
    pub node_status_update_frequency: GoDuration,
    pub node_status_report_frequency: GoDuration,
    pub node_lease_duration_seconds: u32,
    pub system_reserved: BTreeMap<String, String>,
    pub kube_reserved: BTreeMap<String, String>,
    pub eviction_hard: BTreeMap<String, String>,
    pub eviction_soft: BTreeMap<String, String>,
    pub eviction_soft_grace_period: BTreeMap<String, GoDuration>,
    pub eviction_pressure_transition_period: GoDuration,
    /// Seconds.
    pub eviction_max_pod_grace_period: u32,
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    pub merge_default_eviction_settings: bool,
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: u64,
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: u64,
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: GoDuration,
    pub serialize_image_pulls: bool,
    pub max_parallel_image_pulls: Option<usize>,
    pub register_node: bool,
    pub register_with_taints: Option<Vec<Taint>>,
    pub allowed_unsafe_sysctls: Vec<String>,
    pub seccomp_default: bool,
    #[serde(rename = "providerID")]
    pub provider_id: Option<String>,
    pub crash_loop_back_off: CrashLoopBackOff,
    pub fail_swap_on: bool,
    /// Of a container's processes the kernel kills one when memory runs out, not all. Only cgroup v2 can do the latter.
    #[serde(rename = "singleProcessOOMKill")]
    pub single_process_oom_kill: Option<bool>,
}

/// Upstream's hard thresholds.
const EVICTION_HARD: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl KubeletConfiguration {
    /// What is configured stands alone, unless it is to be merged with the defaults.
    pub fn hard_thresholds(&self) -> BTreeMap<String, String> {
        let mut all = if self.merge_default_eviction_settings { text(&EVICTION_HARD) } else { BTreeMap::new() };
        all.extend(self.eviction_hard.clone());
        all
    }
}

impl Default for KubeletConfiguration {
    fn default() -> Self {
        Self {
            address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            port: 10250,
            tls_cert_file: None,
            tls_private_key_file: None,
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            rotate_certificates: true,
            server_tls_bootstrap: false,
            cluster_dns: vec![],
            cluster_domain: "cluster.local".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            cgroup_driver: CgroupDriver::Cgroupfs,
            cgroup_root: "/".into(),
            cgroups_per_qos: true,
            static_pod_path: None,
            static_pod_url: String::new(),
            static_pod_url_header: BTreeMap::new(),
            file_check_frequency: GoDuration::from_secs(20),
            http_check_frequency: GoDuration::from_secs(20),
            pod_logs_dir: "/var/log/pods".into(),
            container_log_max_size: "10Mi".into(),
            container_log_max_files: 5,
            container_log_monitor_interval: GoDuration::from_secs(10),
            max_pods: 110,
            pod_pids_limit: -1,
            node_status_update_frequency: GoDuration::from_secs(10),
            node_status_report_frequency: GoDuration::from_secs(300),
            node_lease_duration_seconds: 40,
            system_reserved: BTreeMap::new(),
            kube_reserved: BTreeMap::new(),
            eviction_hard: text(&EVICTION_HARD),
            eviction_soft: BTreeMap::new(),
            eviction_soft_grace_period: BTreeMap::new(),
            eviction_pressure_transition_period: GoDuration::from_secs(300),
            eviction_max_pod_grace_period: 0,
            eviction_minimum_reclaim: BTreeMap::new(),
            merge_default_eviction_settings: false,
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            image_minimum_gc_age: GoDuration::from_secs(120),
            serialize_image_pulls: false,
            max_parallel_image_pulls: None,
            register_node: true,
            register_with_taints: None,
            allowed_unsafe_sysctls: vec![],
            seccomp_default: false,
            provider_id: None,
            crash_loop_back_off: CrashLoopBackOff::default(),
            fail_swap_on: false,
            single_process_oom_kill: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    #[default]
    Cgroupfs,
    Systemd,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Authentication {
    pub anonymous: Enabled,
    pub webhook: Webhook,
    pub x509: X509,
}

/// Off unless said otherwise.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Enabled {
    pub enabled: bool,
}

/// Bearer tokens are asked of the API server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Webhook {
    pub enabled: bool,
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: GoDuration,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { enabled: true, cache_ttl: GoDuration::from_secs(120) }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct X509 {
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Authorization {
    pub mode: AuthorizationMode,
}

/// `Webhook` is the only mode: everything else would let anyone in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum AuthorizationMode {
    #[default]
    Webhook,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CrashLoopBackOff {
    pub max_container_restart_period: Option<GoDuration>,
}
