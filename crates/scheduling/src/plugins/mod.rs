//! One file per plugin under upstream's name, and the one list that switches them on.

mod default_binder;
mod default_preemption;
mod dynamic_resources;
mod image_locality;
pub mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
pub mod pod_topology_spread;
pub mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

pub use default_binder::DefaultBinder;
pub use default_preemption::DefaultPreemption;
pub use dynamic_resources::DynamicResources;
pub use image_locality::ImageLocality;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_declared_features::NodeDeclaredFeatures;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use node_resources_fit::NodeResourcesFit;
pub use node_unschedulable::NodeUnschedulable;
pub use node_volume_limits::NodeVolumeLimits;
pub use pod_topology_spread::PodTopologySpread;
pub use priority_sort::PrioritySort;
pub use scheduling_gates::SchedulingGates;
pub use taint_toleration::TaintToleration;
pub use volume_binding::VolumeBinding;
pub use volume_restrictions::VolumeRestrictions;
pub use volume_zone::VolumeZone;

use crate::{config::PluginArgs, framework::Plugin};

/// The default plugins in the order in which they are asked, with the weights of their scores: upstream's `MultiPoint`
/// list.
pub const DEFAULTS: &[(&str, i64)] = &[
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 0),
    ("NodeDeclaredFeatures", 0),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
];

/// A new instance of the plugin with this name, set up by its arguments.
pub fn build(name: &str, args: &PluginArgs) -> Option<Box<dyn Plugin>> {
    Some(match name {
        "SchedulingGates" => Box::new(SchedulingGates),
        "PrioritySort" => Box::new(PrioritySort),
        "NodeUnschedulable" => Box::new(NodeUnschedulable),
        "NodeDeclaredFeatures" => Box::new(NodeDeclaredFeatures),
        "NodeName" => Box::new(NodeName),
        "TaintToleration" => Box::new(TaintToleration),
        "NodeAffinity" => Box::new(args.node_affinity()),
        "NodePorts" => Box::new(NodePorts),
        "NodeResourcesFit" => Box::new(args.node_resources_fit()),
        "VolumeRestrictions" => Box::new(VolumeRestrictions),
        "NodeVolumeLimits" => Box::new(NodeVolumeLimits),
        "VolumeBinding" => Box::new(args.volume_binding()),
        "VolumeZone" => Box::new(VolumeZone),
        "PodTopologySpread" => Box::new(args.pod_topology_spread()),
        "InterPodAffinity" => Box::new(args.inter_pod_affinity()),
        "DynamicResources" => Box::new(DynamicResources),
        "DefaultPreemption" => Box::new(args.default_preemption()),
        "NodeResourcesBalancedAllocation" => Box::new(args.node_resources_balanced_allocation()),
        "ImageLocality" => Box::new(ImageLocality),
        "DefaultBinder" => Box::new(DefaultBinder),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_built_under_its_name() {
        for (name, _) in DEFAULTS {
            assert_eq!(build(name, &PluginArgs::default()).map(|p| p.name()), Some(*name));
        }
    }
}
