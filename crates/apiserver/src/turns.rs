//! Large answers take turns. Only a few are under way at a time; the others wait in line, in the order they came, and a turn
//! ends after some bytes. So a thousand lists at once hold the memory of a few, each gets its share, and small
//! requests do not wait behind all of them. Who holds a turn and takes nothing (a client that does not read) loses it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Answers under way at once.
const AT_ONCE: usize = 8;
/// A turn that has not been used for this long is given to the next in line.
const STALE: Duration = Duration::from_millis(10);
/// Bytes of one turn.
const SHARE: usize = 512 << 10;

#[derive(Default)]
pub struct Turns {
    /// Held by the first in line; a fair lock, so the line is in order.
    line: tokio::sync::Mutex<()>,
    holders: Mutex<Holders>,
    freed: Notify,
}

#[derive(Default)]
struct Holders {
    /// Numbers of the turns that are held, and when each was last used.
    held: Vec<(u64, Instant)>,
    next: u64,
}

/// The right to produce the next bytes; given back when dropped.
pub struct Turn {
    turns: Arc<Turns>,
    number: u64,
    left: usize,
}

impl Turns {
    /// Waits in line for a turn.
    pub async fn next(self: &Arc<Self>) -> Turn {
        let _first_in_line = self.line.lock().await;
        loop {
            if let Some(number) = self.take(Instant::now()) {
                return Turn { turns: self.clone(), number, left: SHARE };
            }
            tokio::select! {
                () = self.freed.notified() => {}
                () = sleep(STALE) => {}
            }
        }
    }

    fn take(&self, now: Instant) -> Option<u64> {
        let mut holders = self.holders.lock();
        if holders.held.len() >= AT_ONCE {
            let stale = holders.held.iter().position(|(_, used)| now.duration_since(*used) >= STALE)?;
            holders.held.swap_remove(stale);
        }
        let number = holders.next;
        holders.next += 1;
        holders.held.push((number, now));
        Some(number)
    }
}

impl Turn {
    /// Counts `bytes` more; false if the turn is over, by that or because it was taken away.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.left = self.left.saturating_sub(bytes);
        let mut holders = self.turns.holders.lock();
        match holders.held.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, used)) => *used = Instant::now(),
            None => return false,
        }
        self.left > 0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut holders = self.turns.holders.lock();
        if let Some(at) = holders.held.iter().position(|(number, _)| *number == self.number) {
            holders.held.swap_remove(at);
            self.turns.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_line_moves_in_order() {
        let turns = Arc::new(Turns::default());
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.next().now_or_never().expect("there is room"));
        }
        let (first, second) = (turns.next(), turns.next());
        tokio::pin!(first, second);
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        held.pop();
        assert!(second.as_mut().now_or_never().is_none(), "the other was there before");
        let first = first.now_or_never().expect("a turn was given back");
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_by_its_bytes() {
        let mut turn = Arc::new(Turns::default()).next().await;
        assert!(turn.spend(SHARE - 1));
        assert!(!turn.spend(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_use_a_turn_loses_it() {
        let turns = Arc::new(Turns::default());
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.next().await);
        }
        let other = turns.next().await;
        let lost = held.iter_mut().filter_map(|turn| (!turn.spend(1)).then_some(())).count();
        assert_eq!(lost, 1);
        drop(held);
        drop(other);
    }
}
