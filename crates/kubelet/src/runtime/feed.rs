//! The runtime's events, passed on to the pods they concern.
//!
//! An event is a hint: the pod's worker asks the runtime again. After a gap in the stream, and every
//! five minutes, everyone looks again.

use crate::{context::Context, pods::Pods};
use cri::{Change, Event};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};

const LOOK_AGAIN: Duration = Duration::from_secs(300);

pub async fn run(context: Arc<Context>, pods: Arc<Pods>) {
    let mut events = context.runtime.events();
    let mut again = tokio::time::interval(LOOK_AGAIN);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Changed { id, change }) => changed(&context, &pods, &id, change),
                Some(Event::Resync) => pods.poke_all(),
                None => {
                    tracing::warn!("the runtime's event stream has ended");
                    events = context.runtime.events();
                }
            },
            _ = again.tick() => {
                pods.poke_all();
                pods.remove_leftovers().await;
            }
        }
    }
}

/// Beginnings are our own doing and known already; ends and kills are news.
fn changed(context: &Context, pods: &Pods, id: &str, change: Change) {
    match change {
        Change::Exited | Change::OutOfMemory => {}
        Change::Created | Change::Started | Change::Removed => return,
    }
    match context.directory.owner_of(id) {
        Some(uid) => pods.poke(&uid),
        // A container that ended before its pod was looked at: any of the young ones.
        None => pods.poke_all(),
    }
}
