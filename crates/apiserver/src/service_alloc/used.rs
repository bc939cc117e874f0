//! What the Services of the cluster hold, followed lazily: changes are read when the next choice is to be made.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use api_types::Status;
use store::{Event, EventType, Filter, Freshness, ResourceRef, Step, WatchFrom, Watcher};

use super::wanted::Held;
use crate::{
    answer,
    core::{Core, without_owners},
};

#[derive(Default)]
pub struct Used {
    watcher: Option<Watcher>,
    services: HashMap<String, Held>,
    addresses: HashMap<Ipv4Addr, usize>,
    ports: HashMap<u16, usize>,
}

impl Used {
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains_key(&address)
    }

    pub fn has_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Takes in every Service that was written before this call.
    pub async fn refresh(&mut self, core: &Core) -> Result<(), Status> {
        let id = core.resource("", "services").ok_or_else(|| Status::internal("services are not stored"))?;
        // Only brings the cache up to date; which object is asked for does not matter.
        core.store.get(&id, "default", "kubernetes", Freshness::Latest).await.map_err(answer::store_error)?;
        let wanted = core.store.revision();
        loop {
            let Some(watcher) = &mut self.watcher else {
                self.load(core, &id).await?;
                continue;
            };
            if watcher.position() >= wanted {
                return Ok(());
            }
            match watcher.next().await {
                Ok(Step::Events(events)) => self.take(events),
                Ok(Step::Synced(_)) => {}
                // Too many changes since the last choice: read the state anew.
                Err(_) => self.watcher = None,
            }
        }
    }

    async fn load(&mut self, core: &Core, id: &ResourceRef) -> Result<(), Status> {
        *self = Self::default();
        let from = WatchFrom::State(Freshness::Any);
        let mut watcher = core.store.watch(id, Filter::everything(), from).await.map_err(answer::store_error)?;
        while let Step::Events(events) = watcher.next().await.map_err(answer::watch_error)? {
            self.take(events);
        }
        self.watcher = Some(watcher);
        Ok(())
    }

    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            let held = match event.kind {
                EventType::Deleted => Held::default(),
                EventType::Added | EventType::Modified => Held::of(&without_owners(&event.object)),
            };
            self.set(event.object.key(), held);
        }
    }

    fn set(&mut self, service: &str, held: Held) {
        if let Some(before) = self.services.remove(service) {
            before.addresses.iter().for_each(|address| decrease(&mut self.addresses, address));
            before.ports.iter().for_each(|port| decrease(&mut self.ports, port));
        }
        if held == Held::default() {
            return;
        }
        held.addresses.iter().for_each(|address| *self.addresses.entry(*address).or_default() += 1);
        held.ports.iter().for_each(|port| *self.ports.entry(*port).or_default() += 1);
        self.services.insert(service.to_owned(), held);
    }
}

fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
