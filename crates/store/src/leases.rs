//! Leases for objects that expire. As upstream, objects written shortly after one another share a lease, so that a
//! storm of events does not become a storm of leases.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::backend::{Backend, LeaseId, Result};

/// A lease takes new objects for this long, and lives as much longer.
const REUSE: Duration = Duration::from_secs(60);
/// More objects than that would end at one revision.
const MAX_OBJECTS: usize = 1000;

#[derive(Default)]
pub(crate) struct Leases {
    current: Mutex<Option<Current>>,
}

struct Current {
    id: LeaseId,
    seconds: i64,
    granted: Instant,
    objects: usize,
}

impl Leases {
    /// A lease that lives at least `seconds` from now.
    pub(crate) async fn take(&self, backend: &dyn Backend, seconds: i64) -> Result<LeaseId> {
        let mut current = self.current.lock().await;
        if let Some(held) = current.as_mut()
            && held.seconds == seconds
            && held.objects < MAX_OBJECTS
            && held.granted.elapsed() < REUSE
        {
            held.objects += 1;
            return Ok(held.id);
        }
        let id = backend.grant(seconds + REUSE.as_secs() as i64).await?;
        *current = Some(Current { id, seconds, granted: Instant::now(), objects: 1 });
        Ok(id)
    }
}
