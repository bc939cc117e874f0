//! Refuses pods with `resourceClaims`: devices are not allocated by this scheduler. To place such a pod anyway would
//! break a promise its author relies on; waiting with a clear reason breaks none.

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter},
};

#[derive(Debug)]
pub struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter]
    }

    fn pre_filter(&self, pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        if !pod.shape.has_resource_claims {
            return PreFilter::Skip;
        }
        PreFilter::Reject("this scheduler does not support resource claims".into())
    }

    /// Only a change of the pod itself helps.
    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::DynamicResources;
    use crate::{
        framework::{Plugin, PreFilter},
        testing::{cluster, pod, waiting},
    };

    fn check(spec: Value, refused: bool) {
        let reason = "this scheduler does not support resource claims";
        let want = if refused { PreFilter::Reject(reason.into()) } else { PreFilter::Skip };
        let pod = waiting(&pod(spec.clone()));
        assert_eq!(DynamicResources.pre_filter(pod.to_plugins(), &cluster(&[])), want, "{spec}");
    }

    #[test]
    fn pre_filter() {
        check(json!({}), false);
        check(json!({"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}), false);
        check(json!({"resourceClaims": [{"name": "gpu"}]}), true);
    }
}
