//! How often a pod that failed on a node is replaced: a node that refuses it would be asked for ever.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use crate::time::left;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Nodes remembered; those whose pause is over go first.
const REMEMBERED: usize = 10_000;

/// The pauses of one DaemonSet, by node.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    uid: String,
    generation: i64,
    nodes: HashMap<String, Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Timestamp,
    length: Duration,
}

impl Retries {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A changed set is tried afresh, and so is another one of the same name.
    pub(super) fn of(&mut self, uid: &str, generation: i64) {
        if self.generation != generation || self.uid != uid {
            *self = Self { uid: uid.to_owned(), generation, nodes: HashMap::new() };
        }
    }

    /// Whether a failed pod on `node` may be replaced now; if not, in how long.
    ///
    /// The pause doubles each time, and is forgotten when twice its length has passed without a failure.
    pub(super) fn ask(&mut self, node: &str, now: Timestamp) -> Result<(), Duration> {
        let length = match self.nodes.get(node) {
            Some(pause) => {
                let wait = left(pause.since, pause.length, now);
                if !wait.is_zero() {
                    return Err(wait);
                }
                let forgotten = left(pause.since, (pause.length * 2).max(LONGEST), now).is_zero();
                if forgotten { FIRST } else { (pause.length * 2).min(LONGEST) }
            }
            None => FIRST,
        };
        if self.nodes.len() >= REMEMBERED {
            self.nodes.retain(|_, pause| !left(pause.since, pause.length, now).is_zero());
        }
        if self.nodes.len() < REMEMBERED || self.nodes.contains_key(node) {
            self.nodes.insert(node.to_owned(), Pause { since: now, length });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut retries = Retries::default();
        retries.of("u", 1);
        assert_eq!(retries.ask("a", at(0)), Ok(()));
        assert_eq!(retries.ask("a", at(0)), Err(Duration::from_secs(1)));
        assert_eq!(retries.ask("b", at(0)), Ok(()));
        assert_eq!(retries.ask("a", at(1)), Ok(()));
        assert_eq!(retries.ask("a", at(2)), Err(Duration::from_secs(1)));
        let mut now = 3;
        for _ in 0..20 {
            assert_eq!(retries.ask("a", at(now)), Ok(()));
            now += retries.ask("a", at(now)).unwrap_err().as_secs() as i64;
        }
        assert_eq!(retries.ask("a", at(now)), Ok(()));
        assert_eq!(retries.ask("a", at(now)), Err(LONGEST));
        assert_eq!(retries.ask("a", at(now + 10_000)), Ok(()));
        assert_eq!(retries.ask("a", at(now + 10_000)), Err(FIRST));
        retries.of("u", 2);
        assert_eq!(retries.ask("a", at(now + 10_000)), Ok(()));
    }
}
