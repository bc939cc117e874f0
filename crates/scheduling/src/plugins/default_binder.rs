//! Binds through the pod's Binding subresource.

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point},
    shape::Shape,
};

#[derive(Debug)]
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::Bind]
    }

    fn bind(&self, _shape: &Shape) -> bool {
        true
    }

    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}
