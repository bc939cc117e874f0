//! What upstream warns of in Jobs that are valid all the same.

use api_types::{field::Path, k8s_openapi::api::batch::v1::JobSpec};

use super::is_indexed;
use crate::kinds::pod;

const MANY_COMPLETIONS: i32 = 100_000;
const MANY_AT_ONCE: i32 = 10_000;

pub fn of_spec(spec: &JobSpec, path: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let above = |count: Option<i32>, limit: i32| count.is_some_and(|count| count > limit);
    if is_indexed(spec) && above(spec.completions, MANY_COMPLETIONS) && above(spec.parallelism, MANY_AT_ONCE) {
        all.push("In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail".to_owned());
    }
    if let Some(pod) = &spec.template.spec {
        all.extend(pod::warnings::of_spec(pod, &path.child("template").child("spec")));
    }
    all
}
