//! Refuses pods with rules that no plugin of this scheduler evaluates yet. To place such a pod anyway would break a
//! promise its author relies on; waiting with a clear reason breaks none.

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter},
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

    fn pre_filter(&self, pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        if pod.shape.unsupported.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Reject(format!("this scheduler does not support {}", pod.shape.unsupported.join(", ")).into())
    }

    /// Only a change of the pod itself helps.
    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::SupportedFeatures;
    use crate::{
        framework::{Plugin, PreFilter},
        testing::{cluster, pod, waiting},
    };

    fn check(spec: Value, refused: Option<&'static str>) {
        let want = refused.map_or(PreFilter::Skip, |what| {
            PreFilter::Reject(format!("this scheduler does not support {what}").into())
        });
        let pod = waiting(&pod(spec.clone()));
        assert_eq!(SupportedFeatures.pre_filter(pod.to_plugins(), &cluster(&[])), want, "{spec}");
    }

    #[test]
    fn pre_filter() {
        check(json!({}), None);
        check(json!({"volumes": [{"emptyDir": {}}, {"hostPath": {"path": "/"}}]}), None);
        check(json!({"resourceClaims": [{"name": "gpu"}]}), Some("resource claims"));
    }
}
