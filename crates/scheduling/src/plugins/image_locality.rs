//! Nodes that have the pod's images already are better, the more so the larger the images and the more nodes have
//! them: an image on few nodes would otherwise draw all its pods onto those.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PodRef, Point},
    shape::Shape,
};

const MIB: i64 = 1024 * 1024;
/// Less than this is pulled in no time.
const MIN: i64 = 23 * MIB;
/// More than this for each container does not count.
const MAX_PER_CONTAINER: i64 = 1000 * MIB;

#[derive(Debug)]
pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::Score]
    }

    fn score(&self, shape: &Shape, node: NodeRef<'_>) -> i64 {
        let nodes = node.cluster.live().len().max(1) as f64;
        let worth = |image: &String| {
            let size = node.image_size(image)?;
            Some((size as f64 * (f64::from(node.cluster.nodes_with_image(image)) / nodes)) as i64)
        };
        let max = MAX_PER_CONTAINER * shape.images.len().max(1) as i64;
        let sum: i64 = shape.images.iter().filter_map(worth).sum();
        MAX_NODE_SCORE * (sum.clamp(MIN, max) - MIN) / (max - MIN)
    }

    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ImageLocality;
    use crate::testing::scores;

    fn with_images(images: &[(&str, i64)]) -> Value {
        let images: Vec<_> =
            images.iter().map(|(n, mib)| json!({"names": [n], "sizeBytes": mib * 1024 * 1024})).collect();
        json!({"status": {"images": images}})
    }

    #[test]
    fn score() {
        let pod = json!({"containers": [{"image": "web"}]});
        let check = |nodes: &[Value], want: &[i64]| assert_eq!(scores(&ImageLocality, pod.clone(), nodes), want);
        check(&[with_images(&[]), with_images(&[("web:latest", 500)])], &[0, 23]);
        check(&[with_images(&[("web:latest", 500)]), with_images(&[("web:latest", 500)])], &[48, 48]);
        check(&[with_images(&[("web:v2", 900)]), with_images(&[("web:latest", 20)])], &[0, 0]);
        check(&[with_images(&[("web:latest", 4000)])], &[100]);
    }
}
