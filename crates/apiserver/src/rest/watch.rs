//! WATCH: where it begins, under which form, for how long. What it says then: `watch_events`; over a WebSocket:
//! `watch_socket`.

use std::time::Duration;

use api_types::Status;
use component::serve::Body;
use http::StatusCode;
use store::{Freshness, StoreError, WatchFrom};
use tokio::time::Instant;

use super::{
    Call,
    list_options::ListOptions,
    watch_events::{Events, Terms},
    watch_socket,
};
use crate::{
    answer::{self, Answer},
    metrics::LongRunning,
    negotiate::{Form, Media},
};

pub async fn watch(call: &Call<'_>) -> Result<Answer, Status> {
    let form = Form::of_watch(call.headers, &call.query, call.served.message.is_some())?;
    let filter = call.filter()?;
    let options = ListOptions::of_watch(&call.query)?;
    let from = start(&options)?;
    let id = call.id()?;
    let terms = Terms {
        app: call.app.clone(),
        served: call.served.clone(),
        form,
        bookmarks: options.bookmarks,
        marks_initial_end: options.send_initial_events == Some(true) && options.bookmarks,
        deadline: Instant::now() + lifetime(call)?,
    };
    let open = LongRunning::enter("watch", call.served, call.info);
    let events = match (call.core().store.watch(id, filter, from).await, from) {
        (Ok(watcher), _) => Events::of(watcher, terms, open),
        // As upstream: a watch from too far back begins, and says so in its first event.
        (Err(StoreError::Expired), WatchFrom::Revision(revision)) => {
            Events::refused(&answer::too_old(revision, call.core().store.oldest(id)), form.media)
        }
        (Err(error), _) => return Err(answer::store_error(error)),
    };
    match &call.upgrade {
        Some(upgrade) if watch_socket::is_wanted(call.headers) && form.media == Media::Json => {
            watch_socket::serve(call.headers, upgrade.clone(), events)
        }
        _ => Ok(answer::with_body(StatusCode::OK, Body::stream(events), form.media.stream_content_type())),
    }
}

fn start(options: &ListOptions) -> Result<WatchFrom, Status> {
    let freshness = options.freshness()?;
    Ok(match (options.send_initial_events, freshness) {
        (Some(true), _) => WatchFrom::State(freshness),
        (_, Freshness::AtLeast(revision)) => WatchFrom::Revision(revision),
        (_, Freshness::Any | Freshness::Latest) => WatchFrom::Now(freshness),
    })
}

fn lifetime(call: &Call<'_>) -> Result<Duration, Status> {
    match call.query.number("timeoutSeconds")? {
        // No watch outlives a year, so that no client's number makes the clock overflow.
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.min(366 * 86_400) as u64)),
        _ => {
            let least = Duration::from_secs(call.core().config.min_request_timeout);
            Ok(call.core().random.stretched(least))
        }
    }
}
