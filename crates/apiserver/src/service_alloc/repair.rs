//! Once at start: every Service's addresses and ports have their claims.
//!
//! They always do when only this server wrote; a cluster taken over from upstream, whose node ports lie in a bitmap, or an
//! etcd restored in part, may lack some.

use serde_json::Value;
use store::{Check, Freshness, ListAt, Outcome, StoreError, Transaction};

use super::{Held, ServiceAllocator};

/// Services read at once.
const CHUNK: usize = 200;

impl ServiceAllocator {
    /// Writes the claims that are missing. What two Services hold both is left to the first; the other is logged.
    pub async fn repair(&self) -> Result<(), StoreError> {
        let Some(id) = self.core.resource("", "services") else { return Ok(()) };
        let store = &self.core.store;
        let mut list = store.list(id, None, None, ListAt::Fresh(Freshness::Latest)).await?;
        let mut claimed = std::collections::HashMap::new();
        loop {
            let chunk = list.chunk(store, CHUNK).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            for object in chunk {
                self.repair_one(&object.value(), object.key(), &mut claimed).await?;
            }
        }
    }

    async fn repair_one(
        &self,
        service: &Value,
        key: &str,
        claimed: &mut std::collections::HashMap<String, String>,
    ) -> Result<(), StoreError> {
        let claims = self.difference(service, &Held::default(), &Held::of(service));
        for write in claims.writes {
            if let Some(other) = claimed.insert(write.key().to_owned(), key.to_owned()) {
                tracing::error!(service = key, other, claim = write.key(), "two services hold the same address or port");
                continue;
            }
            let checks = vec![Check::absent(write.key())];
            let transaction = Transaction { checks, writes: vec![write] };
            if let Outcome::Committed { .. } = self.core.store.commit(transaction).await? {
                tracing::info!(service = key, "a missing claim of an address or port was written");
            }
        }
        Ok(())
    }
}
