//! Once at start: every Service's addresses and ports have their claims.
//!
//! They always do when only this server wrote; a cluster taken over from upstream, whose node ports lie in a bitmap, or an
//! etcd restored in part, may lack some.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use serde_json::Value;
use store::{Check, Freshness, ListAt, Outcome, StoreError, Transaction};

use super::{Held, ServiceAllocator, address_key};

/// Services read at once.
const CHUNK: usize = 200;

impl ServiceAllocator {
    /// Writes the claims that are missing. What two Services hold both is left to the first; the other is logged.
    pub async fn repair(&self) -> Result<(), StoreError> {
        let Some(id) = self.core.resource("", "services") else { return Ok(()) };
        let store = &self.core.store;
        let mut list = store.list(&id, None, None, ListAt::Fresh(Freshness::Latest)).await?;
        let mut claimed = HashMap::new();
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
        claimed: &mut HashMap<String, String>,
    ) -> Result<(), StoreError> {
        let held = Held::of(service);
        let has_object = |address: &&Ipv4Addr| {
            self.core.cached("networking.k8s.io", "ipaddresses", "", &address.to_string()).is_some()
        };
        let present: HashSet<_> =
            held.addresses.iter().filter(has_object).map(|ip| address_key(&self.core, *ip)).collect();
        for write in self.difference(service, &Held::default(), &held).writes {
            if let Some(other) = claimed.insert(write.key().to_owned(), key.to_owned()) {
                tracing::error!(
                    service = key,
                    other,
                    claim = write.key(),
                    "two services hold the same address or port"
                );
                continue;
            }
            if present.contains(write.key()) {
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
