//! `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`: what it may say, and the profiles that follow.
//!
//! Options that only tune upstream's own machinery (`parallelism`, profiling, client rates) are accepted and have no
//! effect. Plugins that do not exist here are errors: to ignore them would place pods wrongly.

mod args;

use std::time::Duration;

pub use args::PluginArgs;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    extenders::{self, Extender},
    framework::Point,
    plugins,
    profile::{Enabled, MAX_PLUGINS, Profile},
};

pub const ACCEPTED: &[(&str, &str)] = &[("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration")];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeSchedulerConfiguration {
    pub parallelism: Option<i32>,
    pub leader_election: LeaderElection,
    pub client_connection: ClientConnection,
    pub enable_profiling: Option<bool>,
    pub enable_contention_profiling: Option<bool>,
    pub percentage_of_nodes_to_score: Option<u32>,
    pub pod_initial_backoff_seconds: Option<i64>,
    pub pod_max_backoff_seconds: Option<i64>,
    pub profiles: Vec<KubeSchedulerProfile>,
    pub extenders: Vec<Extender>,
    pub delay_cache_until_active: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LeaderElection {
    pub leader_elect: bool,
    #[serde(deserialize_with = "duration")]
    pub lease_duration: Duration,
    #[serde(deserialize_with = "duration")]
    pub renew_deadline: Duration,
    #[serde(deserialize_with = "duration")]
    pub retry_period: Duration,
    pub resource_lock: String,
    pub resource_name: String,
    pub resource_namespace: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            resource_lock: "leases".into(),
            resource_name: "kube-scheduler".into(),
            resource_namespace: "kube-system".into(),
        }
    }
}

pub(crate) fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed: Result<SignedDuration, _> = text.parse();
    let duration = parsed.ok().and_then(|d| Duration::try_from(d).ok());
    duration.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a duration such as 15s")))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientConnection {
    pub kubeconfig: String,
    pub accept_content_types: String,
    pub content_type: String,
    pub qps: Option<f64>,
    pub burst: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeSchedulerProfile {
    pub scheduler_name: Option<String>,
    pub percentage_of_nodes_to_score: Option<u32>,
    pub plugins: Plugins,
    pub plugin_config: Vec<PluginConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Plugins {
    pub pre_enqueue: PluginChoice,
    pub queue_sort: PluginChoice,
    pub pre_filter: PluginChoice,
    pub filter: PluginChoice,
    pub post_filter: PluginChoice,
    pub pre_score: PluginChoice,
    pub score: PluginChoice,
    pub reserve: PluginChoice,
    pub permit: PluginChoice,
    pub pre_bind: PluginChoice,
    pub bind: PluginChoice,
    pub post_bind: PluginChoice,
    pub multi_point: PluginChoice,
}

impl Plugins {
    fn at(&self) -> [(Point, &PluginChoice); 12] {
        [
            (Point::PreEnqueue, &self.pre_enqueue),
            (Point::QueueSort, &self.queue_sort),
            (Point::PreFilter, &self.pre_filter),
            (Point::Filter, &self.filter),
            (Point::PostFilter, &self.post_filter),
            (Point::PreScore, &self.pre_score),
            (Point::Score, &self.score),
            (Point::Reserve, &self.reserve),
            (Point::Permit, &self.permit),
            (Point::PreBind, &self.pre_bind),
            (Point::Bind, &self.bind),
            (Point::PostBind, &self.post_bind),
        ]
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginChoice {
    pub enabled: Vec<PluginName>,
    pub disabled: Vec<PluginName>,
}

impl PluginChoice {
    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|p| p.name == name || p.name == "*")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginName {
    pub name: String,
    pub weight: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    pub name: String,
    pub args: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("profiles[{0}]: there is no plugin {1:?} in this scheduler")]
    UnknownPlugin(String, String),
    #[error("profiles[{0}].pluginConfig[{1}]: {2}")]
    Args(String, String, String),
    #[error("profiles[{0}]: {1}")]
    Profile(String, String),
    #[error("{0}")]
    Invalid(String),
}

/// What the scheduler needs to start.
#[derive(Debug)]
pub struct Configuration {
    pub profiles: Vec<Profile>,
    pub extenders: Vec<Extender>,
    pub initial_backoff: SignedDuration,
    pub max_backoff: SignedDuration,
}

impl Configuration {
    /// # Errors
    /// When the file asks for something that does not exist here, or contradicts itself.
    pub fn from_file(file: &KubeSchedulerConfiguration) -> Result<Self, ConfigError> {
        extenders::check(&file.extenders)?;
        let initial = file.pod_initial_backoff_seconds.unwrap_or(1);
        let max = file.pod_max_backoff_seconds.unwrap_or(10);
        if initial <= 0 || max < initial {
            return Err(ConfigError::Invalid(
                "podInitialBackoffSeconds must be greater than 0 and at most podMaxBackoffSeconds".into(),
            ));
        }
        check_ranges(file)?;
        let percentage = file.percentage_of_nodes_to_score.unwrap_or(0);
        let default = [KubeSchedulerProfile::default()];
        let wanted = if file.profiles.is_empty() { default.as_slice() } else { &file.profiles };
        let mut profiles: Vec<Profile> = Vec::new();
        for profile in wanted {
            let built = build(profile, percentage, &file.extenders)?;
            if profiles.iter().any(|other| other.scheduler_name == built.scheduler_name) {
                return Err(ConfigError::Profile(
                    built.scheduler_name.to_string(),
                    "schedulerName is used twice".into(),
                ));
            }
            profiles.push(built);
        }
        Ok(Self {
            profiles,
            extenders: file.extenders.clone(),
            initial_backoff: SignedDuration::from_secs(initial),
            max_backoff: SignedDuration::from_secs(max),
        })
    }
}

/// What upstream refuses at its start.
fn check_ranges(file: &KubeSchedulerConfiguration) -> Result<(), ConfigError> {
    let wrong = |what: &str| Err(ConfigError::Invalid(what.to_owned()));
    let election = &file.leader_election;
    if file.parallelism.is_some_and(|parallelism| parallelism <= 0) {
        return wrong("parallelism: should be an integer value greater than zero");
    }
    let percentages = file.profiles.iter().map(|profile| profile.percentage_of_nodes_to_score);
    if percentages.chain([file.percentage_of_nodes_to_score]).flatten().any(|percentage| percentage > 100) {
        return wrong("percentageOfNodesToScore: not in valid range [0-100]");
    }
    if !election.leader_elect {
        return Ok(());
    }
    if election.lease_duration <= election.renew_deadline {
        return wrong("leaderElection.leaseDuration: must be greater than renewDeadline");
    }
    if election.renew_deadline <= election.retry_period.mul_f64(1.2) || election.retry_period.is_zero() {
        return wrong(
            "leaderElection.renewDeadline: must be greater than retryPeriod times 1.2, which must not be zero",
        );
    }
    if election.resource_lock != "leases" {
        return wrong("leaderElection.resourceLock: only \"leases\" is supported");
    }
    Ok(())
}

impl Default for Configuration {
    fn default() -> Self {
        Self::from_file(&KubeSchedulerConfiguration::default()).expect("the defaults are a valid configuration")
    }
}

fn build(file: &KubeSchedulerProfile, percentage: u32, extenders: &[Extender]) -> Result<Profile, ConfigError> {
    let name = file.scheduler_name.clone().unwrap_or_else(|| "default-scheduler".into());
    let mut args = PluginArgs::parse(&file.plugin_config)
        .map_err(|(plugin, error)| ConfigError::Args(name.clone(), plugin, error))?;
    let managed = extenders.iter().flat_map(|extender| &extender.managed_resources);
    args.ignore_resources(managed.filter(|managed| managed.ignored_by_scheduler).map(|managed| managed.name.clone()));
    let mut profile = Profile {
        scheduler_name: name.as_str().into(),
        percentage_of_nodes_to_score: file.percentage_of_nodes_to_score.unwrap_or(percentage),
        plugins: Vec::new(),
    };
    let mut switch_on = |plugin: &str, points: Option<Point>, weight: Option<i64>| {
        let at = match profile.plugins.iter().position(|e| e.plugin.name() == plugin) {
            Some(at) => at,
            None => {
                let unknown = || ConfigError::UnknownPlugin(name.clone(), plugin.into());
                let built = plugins::build(plugin, &args).ok_or_else(unknown)?;
                profile.plugins.push(Enabled { plugin: built, weight: 1, points: Vec::new() });
                profile.plugins.len() - 1
            }
        };
        let enabled = &mut profile.plugins[at];
        enabled.weight = weight.unwrap_or(enabled.weight);
        let offered = enabled.plugin.points();
        match points {
            Some(point) if !offered.contains(&point) => {
                return Err(ConfigError::Profile(name.clone(), format!("plugin {plugin:?} does not extend {point}")));
            }
            Some(point) => {
                if !enabled.points.contains(&point) {
                    enabled.points.push(point);
                }
            }
            None => enabled.points = offered.to_vec(),
        }
        Ok(())
    };

    let multi = &file.plugins.multi_point;
    for (plugin, weight) in plugins::DEFAULTS {
        let weight = (*weight != 0).then_some(*weight);
        let renamed = multi.enabled.iter().find(|p| p.name == *plugin);
        if renamed.is_some() || !multi.disables(plugin) {
            switch_on(plugin, None, renamed.and_then(|p| p.weight).or(weight))?;
        }
    }
    for plugin in &multi.enabled {
        switch_on(&plugin.name, None, plugin.weight)?;
    }
    for (point, choice) in file.plugins.at() {
        for plugin in &choice.enabled {
            switch_on(&plugin.name, Some(point), plugin.weight)?;
        }
    }
    for (point, choice) in file.plugins.at() {
        for enabled in &mut profile.plugins {
            let name = enabled.plugin.name();
            if choice.disables(name) && !choice.enabled.iter().any(|p| p.name == name) {
                enabled.points.retain(|p| *p != point);
            }
        }
    }
    if profile.plugins.len() > MAX_PLUGINS {
        return Err(ConfigError::Profile(name, format!("more than {MAX_PLUGINS} plugins")));
    }
    for point in [Point::QueueSort, Point::Bind] {
        if profile.at(point).next().is_none() {
            return Err(ConfigError::Profile(name, format!("no plugin for {point}")));
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests;
