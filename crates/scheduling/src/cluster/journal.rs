//! Who came to and left which node lately, so that running counts can catch up instead of counting again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::NodeId;
use crate::peers::Peers;

/// Entries kept. Who is further behind counts everything again.
const LIMIT: usize = 8192;

#[derive(Clone, Debug)]
pub struct Entry {
    pub peers: Arc<Peers>,
    pub node: NodeId,
    /// One more, or one less.
    pub count: i64,
}

#[derive(Debug, Default)]
pub struct Journal {
    entries: VecDeque<Entry>,
    end: u64,
}

impl Journal {
    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() == LIMIT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.end += 1;
    }

    /// Where the next entry will be.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Everything from this position on; nothing if that is no longer known.
    pub fn since(&self, position: u64) -> Option<impl Iterator<Item = &Entry>> {
        let missed = usize::try_from(self.end.checked_sub(position)?).ok()?;
        let skip = self.entries.len().checked_sub(missed)?;
        Some(self.entries.range(skip..))
    }
}

/// How many pods of each kind are on each node.
#[derive(Debug, Default)]
pub struct Census {
    kinds: HashMap<Arc<Peers>, HashMap<NodeId, i64>>,
    /// Of those that have rules about others.
    with_rules: HashMap<Arc<Peers>, ()>,
}

impl Census {
    pub fn count(&mut self, peers: &Arc<Peers>, node: NodeId, count: i64) {
        let nodes = self.kinds.entry(peers.clone()).or_default();
        let here = nodes.entry(node).or_insert(0);
        *here += count;
        if *here == 0 {
            nodes.remove(&node);
        }
        let gone = nodes.is_empty();
        if gone {
            self.kinds.remove(peers);
        }
        if peers.rules.is_empty() {
            return;
        }
        if gone {
            self.with_rules.remove(peers);
        } else {
            self.with_rules.insert(peers.clone(), ());
        }
    }

    pub fn kinds(&self) -> impl Iterator<Item = (&Arc<Peers>, &HashMap<NodeId, i64>)> {
        self.kinds.iter()
    }

    pub fn with_rules(&self) -> impl Iterator<Item = (&Arc<Peers>, &HashMap<NodeId, i64>)> {
        self.with_rules.keys().filter_map(|peers| self.kinds.get_key_value(peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_when_it_has_forgotten() {
        let mut journal = Journal::default();
        let entry = |count| Entry { peers: Arc::default(), node: NodeId(0), count };
        for n in 0..LIMIT as i64 {
            journal.push(entry(n));
        }
        let since = |journal: &Journal, at| journal.since(at).map(|entries| entries.map(|e| e.count).next());
        assert_eq!(since(&journal, 0), Some(Some(0)));
        assert_eq!(since(&journal, journal.end()), Some(None));
        journal.push(entry(-1));
        assert_eq!(since(&journal, 0), None);
        assert_eq!(since(&journal, 1), Some(Some(1)));
        assert_eq!(since(&journal, LIMIT as u64), Some(Some(-1)));
    }
}
