//! Leases for objects that expire. As upstream, objects written shortly after one another share a lease, so that a
//! storm of events does not become a storm of leases.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::backend::{Backend, LeaseId, Result};

/// A lease takes new objects for this part of its objects' life, and lives as much longer; but no longer than a minute.
const REUSE_PERCENT: i64 = 5;
const LONGEST_REUSE: i64 = 60;
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
            && held.granted.elapsed() < Duration::from_secs(reuse(seconds) as u64)
        {
            held.objects += 1;
            return Ok(held.id);
        }
        let granted = Instant::now();
        let id = backend.grant(seconds + reuse(seconds)).await?;
        *current = Some(Current { id, seconds, granted, objects: 1 });
        Ok(id)
    }
}

fn reuse(seconds: i64) -> i64 {
    (seconds * REUSE_PERCENT / 100).min(LONGEST_REUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[tokio::test(start_paused = true)]
    async fn objects_share_a_lease_for_a_while() {
        let (leases, backend) = (Leases::default(), Memory::new());
        let first = leases.take(&backend, 3600).await.unwrap();
        for _ in 1..MAX_OBJECTS {
            assert_eq!(leases.take(&backend, 3600).await.unwrap(), first);
        }
        let second = leases.take(&backend, 3600).await.unwrap();
        assert_ne!(second, first, "a lease ends at one revision, with all its objects");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(leases.take(&backend, 3600).await.unwrap(), second);
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = leases.take(&backend, 3600).await.unwrap();
        assert_ne!(third, second, "the objects would not live an hour");
        let short = leases.take(&backend, 40).await.unwrap();
        assert_ne!(short, third);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_ne!(leases.take(&backend, 40).await.unwrap(), short, "a short life is stretched but a little");
    }
}
