//! The order of the active queue: higher priority first, then who waits longer.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point},
};

/// Smaller keys leave the queue first.
pub type SortKey = (Reverse<i32>, Timestamp);

#[derive(Debug)]
pub struct PrioritySort;

impl PrioritySort {
    pub fn key(priority: i32, since: Timestamp) -> SortKey {
        (Reverse(priority), since)
    }
}

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::QueueSort]
    }

    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut keys = [(0, at(1)), (5, at(3)), (-1, at(0)), (5, at(2))];
        keys.sort_by_key(|(priority, since)| PrioritySort::key(*priority, *since));
        assert_eq!(keys, [(5, at(2)), (5, at(3)), (0, at(1)), (-1, at(0))]);
    }
}
