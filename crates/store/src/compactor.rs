//! Compaction, by one server at a time: whoever finds the compaction key as it left it claims the round by writing it.
//! Each round forgets the history before the previous one, so that readers keep at least one interval.
//!
//! The key is upstream's, so servers of both kinds on one etcd take turns. It lies outside of the prefix; a copy is written
//! below it in the same transaction, so that every server's cache sees the compaction.

use std::{sync::Arc, time::Duration};

use tracing::{debug, warn};

use crate::backend::{Backend, BackendError, Check, Outcome, Revision, Transaction, Write};

/// Upstream's key, and below the prefix the name of its copy.
pub const KEY: &str = "compact_rev_key";

pub const INTERVAL: Duration = Duration::from_secs(300);

/// Compacts every `interval` until it is dropped. `prefix` ends with a slash.
pub(crate) async fn run(backend: Arc<dyn Backend>, prefix: String, interval: Duration) {
    let mut round = Round::default();
    loop {
        tokio::time::sleep(interval).await;
        match round.compact(&*backend, &prefix).await {
            Ok(Some(revision)) => debug!(revision, "compacted"),
            Ok(None) => {}
            Err(why) => warn!(error = %why, "compaction failed and is tried again at the next interval"),
        }
    }
}

#[derive(Debug, Default)]
pub struct Round {
    /// The compaction key's revision when it was last looked at.
    seen: Revision,
    /// etcd's revision at that time: what the next round compacts.
    target: Revision,
}

impl Round {
    /// The revision compacted, if this server's turn came.
    pub async fn compact(&mut self, backend: &dyn Backend, prefix: &str) -> Result<Option<Revision>, BackendError> {
        let target = self.target.to_string();
        let transaction = Transaction {
            checks: vec![Check::unchanged(KEY, self.seen)],
            writes: vec![Write::put(KEY, target.clone()), Write::put(format!("{prefix}{KEY}"), target)],
        };
        let target = self.target;
        match backend.commit(transaction).await? {
            Outcome::Refused { revision, current } => {
                self.seen = current.into_iter().flatten().next().map_or(0, |kv| kv.mod_revision);
                self.target = revision;
                return Ok(None);
            }
            Outcome::Committed { revision } => {
                self.seen = revision;
                self.target = revision;
            }
        }
        if target == 0 {
            return Ok(None);
        }
        match backend.compact(target).await {
            Ok(()) | Err(BackendError::Compacted { .. }) => Ok(Some(target)),
            Err(error) => Err(error),
        }
    }
}
