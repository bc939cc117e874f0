//! The arguments of plugins (`pluginConfig`), under upstream's names.

use api_types::k8s_openapi::api::core::v1 as core;
use serde::Deserialize;
use serde_json::Value;

use super::PluginConfig;
use crate::{
    node_selector::{Preferred, Required},
    object,
    plugins::{
        DefaultPreemption, InterPodAffinity, NodeAffinity, NodeResourcesBalancedAllocation, NodeResourcesFit,
        PodTopologySpread, VolumeBinding,
        node_resources_fit::{Strategy, Weighted},
        pod_topology_spread::DefaultConstraint,
    },
};

#[derive(Clone, Debug, Default)]
pub struct PluginArgs {
    fit: NodeResourcesFitArgs,
    balanced: NodeResourcesBalancedAllocationArgs,
    affinity: NodeAffinityArgs,
    pod_affinity: InterPodAffinityArgs,
    spread: PodTopologySpreadArgs,
    preemption: DefaultPreemptionArgs,
    volumes: VolumeBindingArgs,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct DynamicResourcesArgs {
    #[serde(rename = "filterTimeout")]
    _filter_timeout: Value,
    #[serde(rename = "bindingTimeout")]
    _binding_timeout: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct VolumeBindingArgs {
    bind_timeout_seconds: Option<u64>,
    /// Of the score by capacity, which upstream has off.
    shape: Vec<ShapePoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct InterPodAffinityArgs {
    hard_pod_affinity_weight: Option<i64>,
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PodTopologySpreadArgs {
    default_constraints: Vec<DefaultSpread>,
    defaulting_type: Option<DefaultingType>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
enum DefaultingType {
    System,
    List,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DefaultSpread {
    max_skew: i64,
    topology_key: String,
    when_unsatisfiable: WhenUnsatisfiable,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
enum WhenUnsatisfiable {
    DoNotSchedule,
    ScheduleAnyway,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct DefaultPreemptionArgs {
    min_candidate_nodes_percentage: Option<i64>,
    min_candidate_nodes_absolute: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NodeResourcesFitArgs {
    ignored_resources: Vec<String>,
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<ScoringStrategy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ScoringStrategy {
    r#type: StrategyType,
    resources: Vec<ResourceSpec>,
    requested_to_capacity_ratio: Option<RequestedToCapacityRatio>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
enum StrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RequestedToCapacityRatio {
    shape: Vec<ShapePoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShapePoint {
    utilization: i64,
    /// From 0 to 10.
    score: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ResourceSpec {
    name: String,
    weight: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NodeResourcesBalancedAllocationArgs {
    resources: Vec<ResourceSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NodeAffinityArgs {
    added_affinity: Option<AddedAffinity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct AddedAffinity {
    required_during_scheduling_ignored_during_execution: Option<core::NodeSelector>,
    preferred_during_scheduling_ignored_during_execution: Vec<core::PreferredSchedulingTerm>,
}

fn weighted(specs: &[ResourceSpec]) -> Vec<Weighted> {
    if specs.is_empty() {
        return Weighted::defaults();
    }
    specs.iter().map(|s| Weighted { name: s.name.clone(), weight: if s.weight == 0 { 1 } else { s.weight } }).collect()
}

impl PluginArgs {
    /// # Errors
    /// The plugin's name and what is wrong with its arguments.
    pub(super) fn parse(configs: &[PluginConfig]) -> Result<Self, (String, String)> {
        let mut all = Self::default();
        for config in configs {
            let mut args = config.args.clone();
            if let Value::Object(object) = &mut args {
                object.retain(|key, _| key != "apiVersion" && key != "kind");
            }
            let result = match config.name.as_str() {
                "NodeResourcesFit" => serde_json::from_value(args).map(|args| all.fit = args),
                "NodeResourcesBalancedAllocation" => serde_json::from_value(args).map(|args| all.balanced = args),
                "InterPodAffinity" => serde_json::from_value(args).map(|args| all.pod_affinity = args),
                "PodTopologySpread" => serde_json::from_value(args).map(|args| all.spread = args),
                "VolumeBinding" => serde_json::from_value(args).map(|args| all.volumes = args),
                "DefaultPreemption" => serde_json::from_value(args).map(|args| all.preemption = args),
                // Of an allocator that is not here; the plugin only refuses.
                "DynamicResources" => serde_json::from_value::<DynamicResourcesArgs>(args).map(drop),
                "NodeAffinity" => serde_json::from_value(args).map(|args| all.affinity = args),
                _ => {
                    return Err((
                        config.name.clone(),
                        "there is no such plugin with arguments in this scheduler".into(),
                    ));
                }
            };
            result.map_err(|error| (config.name.clone(), error.to_string()))?;
        }
        all.check()?;
        Ok(all)
    }

    /// Somebody else checks that nodes have room for these.
    pub(super) fn ignore_resources(&mut self, names: impl Iterator<Item = String>) {
        self.fit.ignored_resources.extend(names);
    }

    fn check(&self) -> Result<(), (String, String)> {
        self.check_pod_rules()?;
        self.check_fit()
    }

    fn check_pod_rules(&self) -> Result<(), (String, String)> {
        let wrong = |plugin: &str, what: &str| Err((plugin.to_owned(), what.to_owned()));
        if !(0..=100).contains(&self.pod_affinity.hard_pod_affinity_weight.unwrap_or(1)) {
            return wrong("InterPodAffinity", "hardPodAffinityWeight: not in valid range [0-100]");
        }
        let spread = &self.spread;
        if spread.defaulting_type != Some(DefaultingType::List) && !spread.default_constraints.is_empty() {
            return wrong("PodTopologySpread", "defaultConstraints: when .defaultingType is System, must be empty");
        }
        if spread.default_constraints.iter().any(|c| c.max_skew <= 0) {
            return wrong("PodTopologySpread", "defaultConstraints: maxSkew: not in valid range (0, inf)");
        }
        if spread.default_constraints.iter().any(|c| c.topology_key.is_empty()) {
            return wrong("PodTopologySpread", "defaultConstraints: topologyKey: can not be empty");
        }
        if !self.volumes.shape.is_empty() {
            return wrong("VolumeBinding", "shape: scoring by capacity is not supported by this scheduler");
        }
        let (percentage, absolute) = self.candidates();
        if !(0..=100).contains(&percentage) || absolute < 0 {
            return wrong(
                "DefaultPreemption",
                "minCandidateNodesPercentage must be in [0, 100] and minCandidateNodesAbsolute at least 0",
            );
        }
        if percentage == 0 && absolute == 0 {
            return wrong(
                "DefaultPreemption",
                "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero",
            );
        }
        Ok(())
    }

    fn candidates(&self) -> (i64, i64) {
        let args = &self.preemption;
        (args.min_candidate_nodes_percentage.unwrap_or(10), args.min_candidate_nodes_absolute.unwrap_or(100))
    }

    fn check_fit(&self) -> Result<(), (String, String)> {
        let wrong = |what: &str| Err(("NodeResourcesFit".to_owned(), what.to_owned()));
        let Some(strategy) = &self.fit.scoring_strategy else { return Ok(()) };
        if strategy.resources.iter().any(|r| !(0..=100).contains(&r.weight)) {
            return wrong("resource weight must be between 1 and 100");
        }
        if strategy.r#type != StrategyType::RequestedToCapacityRatio {
            return Ok(());
        }
        let points = strategy.requested_to_capacity_ratio.as_ref().map_or(&[][..], |ratio| &ratio.shape);
        if points.is_empty() {
            return wrong("at least one point must be specified");
        }
        if points.windows(2).any(|pair| pair[0].utilization >= pair[1].utilization) {
            return wrong("utilization values must be sorted in increasing order");
        }
        if points.iter().any(|p| !(0..=100).contains(&p.utilization) || !(0..=10).contains(&p.score)) {
            return wrong("utilization must be between 0 and 100 and score between 0 and 10");
        }
        Ok(())
    }

    pub(crate) fn node_resources_fit(&self) -> NodeResourcesFit {
        let strategy = self.fit.scoring_strategy.clone().unwrap_or_default();
        let curve = strategy.requested_to_capacity_ratio.unwrap_or_default().shape;
        NodeResourcesFit {
            strategy: match strategy.r#type {
                StrategyType::LeastAllocated => Strategy::LeastAllocated,
                StrategyType::MostAllocated => Strategy::MostAllocated,
                StrategyType::RequestedToCapacityRatio => Strategy::RequestedToCapacityRatio(
                    curve.iter().map(|point| (point.utilization, point.score * 10)).collect(),
                ),
            },
            resources: weighted(&strategy.resources),
            ignored_resources: self.fit.ignored_resources.clone(),
            ignored_resource_groups: self.fit.ignored_resource_groups.clone(),
        }
    }

    pub(crate) fn node_resources_balanced_allocation(&self) -> NodeResourcesBalancedAllocation {
        NodeResourcesBalancedAllocation { resources: weighted(&self.balanced.resources) }
    }

    pub(crate) fn node_affinity(&self) -> NodeAffinity {
        let added = self.affinity.added_affinity.clone().unwrap_or_default();
        let labels = object::Labels::new();
        NodeAffinity {
            added_required: Required::compile(
                &labels,
                added.required_during_scheduling_ignored_during_execution.as_ref(),
            ),
            added_preferred: Preferred::compile(&added.preferred_during_scheduling_ignored_during_execution),
        }
    }

    pub(crate) fn inter_pod_affinity(&self) -> InterPodAffinity {
        InterPodAffinity {
            hard_pod_affinity_weight: self.pod_affinity.hard_pod_affinity_weight.unwrap_or(1),
            ignore_preferred_terms_of_existing_pods: self.pod_affinity.ignore_preferred_terms_of_existing_pods,
        }
    }

    pub(crate) fn pod_topology_spread(&self) -> PodTopologySpread {
        if self.spread.defaulting_type != Some(DefaultingType::List) {
            return PodTopologySpread::default();
        }
        let default = |c: &DefaultSpread| DefaultConstraint {
            max_skew: c.max_skew,
            topology_key: c.topology_key.clone(),
            hard: c.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule,
        };
        let defaults = self.spread.default_constraints.iter().map(default).collect();
        PodTopologySpread { defaults, system_defaulted: false }
    }

    pub(crate) fn volume_binding(&self) -> VolumeBinding {
        VolumeBinding { bind_timeout_seconds: self.volumes.bind_timeout_seconds.unwrap_or(600) }
    }

    pub(crate) fn default_preemption(&self) -> DefaultPreemption {
        let (percentage, absolute) = self.candidates();
        DefaultPreemption {
            min_candidate_nodes_percentage: usize::try_from(percentage).unwrap_or(0),
            min_candidate_nodes_absolute: usize::try_from(absolute).unwrap_or(0),
        }
    }
}
