//! WATCH: a stream of events read with a cursor from the store's log, with bookmarks, until its time is up.

use std::{sync::Arc, time::Duration};

use api_rules::Column;
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use bytes::{BufMut, Bytes, BytesMut};
use component::{Shutdown, serve::Body};
use futures::stream;
use http::StatusCode;
use serde_json::json;
use store::{Event, EventType, Freshness, Step, StoreError, WatchFrom, Watcher, object::framed};
use tokio::time::{Instant, sleep_until};

use super::{Call, page};
use crate::{
    answer::{self, Answer},
    app::App,
    core::Served,
    metrics::LongRunning,
    negotiate::{Form, Media, Shape},
    protobuf,
    query::Query,
    render,
};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Events are put together up to this size; a single one is sent without a copy.
const CHUNK: usize = 32 << 10;
const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

pub async fn watch(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    if form.media == Media::Yaml {
        return Err(Status::not_acceptable(&["application/json", "application/json;stream=watch", PROTOBUF_STREAM]));
    }
    let filter = call.filter()?;
    let start = Start::of(&call.query)?;
    let core = call.core();
    let deadline = Instant::now() + lifetime(call)?;
    let open = LongRunning::enter("watch", call.served, call.info);
    let watcher = match core.store.watch(call.id()?, filter, start.from).await {
        Ok(watcher) => Ok(watcher),
        // As upstream: a watch from too far back begins, and says so in its first event.
        Err(StoreError::Expired) => Err(Status::expired(answer::TOO_OLD)),
        Err(error) => return Err(answer::store_error(error)),
    };
    let state = match watcher {
        Ok(watcher) => State::Open(Box::new(Stream {
            app: call.app.clone(),
            served: call.served.clone(),
            form,
            watcher,
            bookmarks: start.bookmarks,
            marks_initial_end: start.marks_initial_end,
            next_bookmark: Instant::now() + BOOKMARK_EVERY,
            deadline,
            shutdown: call.app.shutdown.clone(),
            with_columns: true,
            _open: open,
        })),
        Err(status) => State::Ending(error_line(&status, form.media)),
    };
    let body = Body::stream(stream::unfold(state, |state| async move {
        let (line, next) = state.next().await?;
        Some((Ok(line), next))
    }));
    let content_type = if form.media == Media::Protobuf { PROTOBUF_STREAM } else { "application/json" };
    Ok(answer::with_body(StatusCode::OK, body, content_type))
}

/// Where a watch begins, and what it says besides events.
struct Start {
    from: WatchFrom,
    bookmarks: bool,
    marks_initial_end: bool,
}

impl Start {
    fn of(query: &Query) -> Result<Self, Status> {
        let bookmarks = query.flag("allowWatchBookmarks");
        let (version, how) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
        let forbidden = |field: &str, why: &str| {
            let error = FieldError::forbidden(&Path::new(field), why);
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", vec![error]))
        };
        let initial = query.bool("sendInitialEvents");
        match (initial, how) {
            (Some(_), None) => {
                return forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            (Some(_), Some("NotOlderThan")) | (None, None) => {}
            (Some(_), Some(_)) => {
                return forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            (None, Some(_)) => {
                return forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                );
            }
        }
        let freshness = match version {
            None => Freshness::Latest,
            Some("0") => Freshness::Any,
            Some(text) => Freshness::AtLeast(page::revision(text)?),
        };
        let from = match (initial, freshness) {
            (Some(true), _) => WatchFrom::State(freshness),
            (Some(false), Freshness::AtLeast(revision)) | (None, Freshness::AtLeast(revision)) => {
                WatchFrom::Revision(revision)
            }
            (Some(false), _) => WatchFrom::Now(freshness),
            (None, _) => WatchFrom::State(freshness),
        };
        Ok(Self { from, bookmarks, marks_initial_end: initial == Some(true) && bookmarks })
    }
}

fn lifetime(call: &Call<'_>) -> Result<Duration, Status> {
    match call.query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds as u64)),
        _ => {
            let least = Duration::from_secs(call.core().config.min_request_timeout);
            Ok(call.core().random.stretched(least))
        }
    }
}

enum State {
    Open(Box<Stream>),
    /// One more line, then the end.
    Ending(Bytes),
    Ended,
}

struct Stream {
    app: Arc<App>,
    served: Arc<Served>,
    form: Form,
    watcher: Watcher,
    bookmarks: bool,
    marks_initial_end: bool,
    next_bookmark: Instant,
    deadline: Instant,
    shutdown: Shutdown,
    /// The next table is the first and names the columns.
    with_columns: bool,
    _open: LongRunning,
}

impl State {
    async fn next(self) -> Option<(Bytes, Self)> {
        match self {
            Self::Ended => None,
            Self::Ending(line) => Some((line, Self::Ended)),
            Self::Open(mut stream) => match stream.next().await {
                Ok(Some(lines)) => Some((lines, Self::Open(stream))),
                Ok(None) => None,
                Err(status) => Some((error_line(&status, stream.form.media), Self::Ended)),
            },
        }
    }
}

impl Stream {
    /// The next lines; `None` when the time is up or the server goes.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let bookmark_at = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(None),
                step = self.watcher.next() => match step.map_err(answer::watch_error)? {
                    Step::Events(events) => return Ok(Some(self.lines(&events))),
                    Step::Synced(revision) if self.marks_initial_end => return Ok(Some(self.bookmark(revision, true))),
                    Step::Synced(_) => {}
                },
                () = sleep_until(bookmark_at) => {
                    if bookmark_at == self.deadline {
                        return Ok(None);
                    }
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    let revision = self.watcher.position();
                    return Ok(Some(self.bookmark(revision, false)));
                }
            }
        }
    }

    fn lines(&mut self, events: &[Event]) -> Bytes {
        if let [event] = events {
            return self.line(event);
        }
        let mut out = BytesMut::with_capacity(CHUNK.min(events.len() * 2048));
        for event in events {
            out.put(self.line(event));
        }
        out.freeze()
    }

    fn line(&mut self, event: &Event) -> Bytes {
        if self.form.media == Media::Protobuf {
            return self.protobuf_line(event);
        }
        if self.form.shape == Shape::Whole && self.served.kind.is_storage_version() {
            return event.frame();
        }
        let now = self.app.core.clock.now();
        let body = event.body();
        let object = match self.form.shape {
            Shape::Whole => render::whole(&self.served, &body),
            Shape::Metadata => render::metadata(&body),
            Shape::Table(include) => {
                let columns = self.columns();
                let metadata = json!({ "resourceVersion": event.revision.to_string() });
                let mut table = render::table_lead(columns.as_deref(), &metadata);
                table.extend_from_slice(&render::row(&self.served, include, &body, now));
                table.extend_from_slice(b"]}");
                table.into()
            }
        };
        framed(event.kind, &object)
    }

    /// The frame of an event; the message of an object that is there is the one kept with it.
    fn protobuf_line(&self, event: &Event) -> Bytes {
        let (served, shape) = (&self.served, self.form.shape);
        let object = match event.kind {
            EventType::Deleted => {
                let body = event.body();
                let json =
                    if shape == Shape::Metadata { render::metadata(&body) } else { render::whole(served, &body) };
                protobuf::document(&json)
            }
            _ => render::protobuf_object(served, shape, &event.object),
        };
        match object {
            Ok(object) => protobuf::watch_frame(event.kind.as_str(), &object).into(),
            Err(why) => error_line(&Status::internal(why), Media::Protobuf),
        }
    }

    fn columns(&mut self) -> Option<Vec<Column>> {
        std::mem::take(&mut self.with_columns).then(|| self.served.kind.columns())
    }

    fn bookmark(&mut self, revision: i64, initial_end: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let (kind, api_version) = match self.form.shape {
            Shape::Whole => (self.served.kind.names().kind, self.served.api_version.as_str()),
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            Shape::Table(_) => {
                let columns = self.columns();
                let mut table =
                    render::table_lead(columns.as_deref(), &json!({ "resourceVersion": revision.to_string() }));
                let row = json!({ "cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata } });
                table.extend_from_slice(row.to_string().as_bytes());
                table.extend_from_slice(b"]}");
                return said("BOOKMARK", &table, self.form.media);
            }
        };
        let object = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata }).to_string();
        said("BOOKMARK", object.as_bytes(), self.form.media)
    }
}

fn error_line(status: &Status, media: Media) -> Bytes {
    said("ERROR", &status.to_json(), media)
}

/// What a watch says besides changes. What has no protobuf form is sent as JSON within the frame.
fn said(event: &str, object: &[u8], media: Media) -> Bytes {
    if media == Media::Protobuf {
        let object = protobuf::document(object).unwrap_or_else(|_| object.to_vec());
        return protobuf::watch_frame(event, &object).into();
    }
    let mut line = BytesMut::from(format!(r#"{{"type":"{event}","object":"#).as_bytes());
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
