//! Refuses pods with rules that no plugin of this scheduler evaluates yet. To place such a pod anyway would break a
//! promise its author relies on; waiting with a clear reason breaks none.

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, Point, PreFilter},
    shape::Shape,
};

#[derive(Debug)]
pub struct SupportedFeatures;

impl Plugin for SupportedFeatures {
    fn name(&self) -> &'static str {
        "SupportedFeatures"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter]
    }

    fn pre_filter(&self, shape: &Shape, _cluster: &Cluster) -> PreFilter {
        if shape.unsupported.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Reject(format!("this scheduler does not support {}", shape.unsupported.join(", ")).into())
    }

    /// Only a change of the pod itself helps.
    fn helps(&self, _shape: &Shape, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::SupportedFeatures;
    use crate::{
        framework::{Plugin, PreFilter},
        testing::{cluster, shape},
    };

    fn check(spec: Value, refused: Option<&'static str>) {
        let want = refused.map_or(PreFilter::Skip, |what| {
            PreFilter::Reject(format!("this scheduler does not support {what}").into())
        });
        assert_eq!(SupportedFeatures.pre_filter(&shape(spec.clone()), &cluster(&[])), want, "{spec}");
    }

    #[test]
    fn pre_filter() {
        check(json!({}), None);
        check(json!({"volumes": [{"emptyDir": {}}, {"hostPath": {"path": "/"}}]}), None);
        check(json!({"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}), None);
        check(json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}}), None);
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]});
        check(json!({"affinity": {"podAffinity": required}}), Some("required pod affinity"));
        check(json!({"affinity": {"podAntiAffinity": required}}), Some("required pod anti-affinity"));
        check(
            json!({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}],
                "volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}),
            Some("topology spread constraints with DoNotSchedule, persistent volume claims"),
        );
        check(json!({"resourceClaims": [{"name": "gpu"}]}), Some("resource claims"));
    }
}
