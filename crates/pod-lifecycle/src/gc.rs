//! What is left behind and may go: containers that have ended, images nobody uses.

use crate::observed::{ContainerSeen, PodSeen};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Of each name the newest ended container stays, since it carries the last state and the log that
/// `--previous` shows.
pub const KEPT: usize = 1;

/// Ended containers to remove: all but the newest `keep` of each name.
pub fn dead_containers(seen: &PodSeen, keep: usize) -> Vec<&ContainerSeen> {
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    let mut remove = vec![];
    for container in seen.containers.iter().filter(|c| c.has_exited()) {
        let count = kept.entry(&container.name).or_default();
        *count += 1;
        if *count > keep {
            remove.push(container);
        }
    }
    remove
}

/// Sandboxes of earlier attempts in which no container remains.
pub fn dead_sandboxes(seen: &PodSeen) -> Vec<&str> {
    let used = |id: &str| seen.containers.iter().any(|c| c.sandbox_id == id);
    seen.sandboxes.iter().skip(1).filter(|s| !s.ready && !used(&s.id)).map(|s| s.id.as_str()).collect()
}

#[derive(Clone, Debug, PartialEq)]
pub struct ImageSeen {
    pub id: String,
    pub size: u64,
    pub last_used: Timestamp,
    pub in_use: bool,
    pub pinned: bool,
}

/// Disk use thresholds in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub high: u64,
    pub low: u64,
    pub min_age: SignedDuration,
}

/// Images to remove, the longest unused first, until use is below the low mark; none below the high one.
pub fn images(
    mut all: Vec<ImageSeen>,
    used: u64,
    capacity: u64,
    thresholds: Thresholds,
    now: Timestamp,
) -> Vec<ImageSeen> {
    if capacity == 0 || used * 100 < capacity * thresholds.high {
        return vec![];
    }
    let mut to_free = used.saturating_sub(capacity * thresholds.low / 100);
    all.retain(|i| !i.in_use && !i.pinned && now.duration_since(i.last_used) >= thresholds.min_age);
    all.sort_by_key(|i| i.last_used);
    all.into_iter()
        .take_while(|image| {
            let wanted = to_free > 0;
            to_free = to_free.saturating_sub(image.size);
            wanted
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, exited, running, sandbox, seen};

    #[test]
    fn one_dead_container_of_each_name_stays() {
        let seen =
            seen(vec![running("a", 3), exited("a", 2, 1), exited("a", 1, 1), exited("a", 0, 1), exited("b", 0, 0)]);
        let ids: Vec<_> = dead_containers(&seen, KEPT).into_iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["a-1", "a-0"]);
        assert_eq!(dead_containers(&seen, 0).len(), 4, "a full disk keeps none");
    }

    #[test]
    fn an_empty_old_sandbox_goes() {
        let mut seen = seen(vec![running("a", 1)]);
        seen.sandboxes = vec![sandbox("s0", 2, true), sandbox("old", 0, false)];
        assert_eq!(dead_sandboxes(&seen), ["old"]);
    }

    #[test]
    fn images_go_from_the_longest_unused_to_the_low_mark() {
        let image = |id: &str, used: i64, in_use| ImageSeen {
            id: id.into(),
            size: 10,
            last_used: at(used),
            in_use,
            pinned: false,
        };
        let all =
            vec![image("new", 50, false), image("old", 1, false), image("used", 0, true), image("mid", 20, false)];
        let marks = Thresholds { high: 85, low: 75, min_age: SignedDuration::ZERO };
        let pick = |used| images(all.clone(), used, 100, marks, at(100)).into_iter().map(|i| i.id).collect::<Vec<_>>();
        assert_eq!(pick(84), Vec::<String>::new());
        assert_eq!(pick(90), ["old", "mid"]);
    }
}
