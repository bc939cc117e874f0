//! What a watch says: events read with a cursor from the store's log, bookmarks, and how it ends.
//!
//! A watch costs nothing between events: its timer is set once and moved rarely. Events that the store tells together leave in
//! one write. Who reads slowly holds what HTTP takes ahead, and a place in the log.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use api_rules::Column;
use api_types::Status;
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde_json::json;
use store::{Event, EventType, Step, Watcher, object::framed};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    answer,
    app::App,
    core::Served,
    metrics::LongRunning,
    negotiate::{Form, Media, Shape},
    protobuf, render,
};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// As upstream, a last bookmark comes this long before the end.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Small events are put together up to this size.
const PIECE: usize = 8 << 10;
/// Larger lines are sent without a copy: HTTP and TLS write several of them at once.
const SMALL: usize = 1 << 10;
/// A watch that always has something to say looks at its timer and the shutdown after so many pieces.
const UNLOOKED: u32 = 16;
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a client asked of a watch, besides where it begins.
pub struct Terms {
    pub app: Arc<App>,
    pub served: Arc<Served>,
    pub form: Form,
    pub bookmarks: bool,
    /// The end of the initial events is marked by a bookmark.
    pub marks_initial_end: bool,
    pub deadline: Instant,
}

/// The lines of a watch stream, whole lines in each piece.
pub enum Events {
    Open(Box<Open>),
    /// One more piece, then the end.
    Ending(Bytes),
    Ended,
}

pub struct Open {
    terms: Terms,
    watcher: Watcher,
    /// Events taken from the watcher that are still to be written.
    taken: VecDeque<Event>,
    /// Pieces handed out since timer and shutdown were looked at.
    unlooked: u32,
    next_bookmark: Instant,
    /// Set to the next bookmark, or the end.
    timer: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The next table is the first and names the columns.
    with_columns: bool,
    /// Counts this watch while it lives.
    _open: LongRunning,
}

impl Events {
    pub fn of(watcher: Watcher, terms: Terms, open: LongRunning) -> Self {
        let next_bookmark = next_bookmark(Instant::now(), terms.deadline);
        let first = if terms.bookmarks { next_bookmark } else { terms.deadline };
        Self::Open(Box::new(Open {
            watcher,
            taken: VecDeque::new(),
            unlooked: 0,
            next_bookmark,
            timer: Box::pin(sleep_until(first)),
            // A token of its own: its lock is nobody else's.
            shutdown: Box::pin(terms.app.shutdown.token().child_token().cancelled_owned()),
            with_columns: true,
            _open: open,
            terms,
        }))
    }

    /// A watch that says only why there is none.
    pub fn refused(status: &Status, media: Media) -> Self {
        Self::Ending(error_line(status, media))
    }
}

impl Stream for Events {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Ended => Poll::Ready(None),
            Self::Ending(line) => {
                let line = std::mem::take(line);
                *self = Self::Ended;
                Poll::Ready(Some(Ok(line)))
            }
            Self::Open(open) => {
                let piece = match ready!(open.poll_piece(cx)) {
                    Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                    Ok(None) => None,
                    Err(status) => Some(Ok(error_line(&status, open.terms.form.media))),
                };
                *self = Self::Ended;
                Poll::Ready(piece)
            }
        }
    }
}

impl Open {
    /// The next lines; `None` when the time is up or the server goes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        let looks_first = self.unlooked >= UNLOOKED;
        if !looks_first && let Poll::Ready(lines) = self.poll_lines(cx) {
            self.unlooked += 1;
            return Poll::Ready(lines.map(Some));
        }
        self.unlooked = 0;
        if self.shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(None));
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(self.time_has_come()));
        }
        if looks_first { self.poll_lines(cx).map_ok(Some) } else { Poll::Pending }
    }

    fn poll_lines(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        while self.taken.is_empty() {
            match ready!(self.watcher.poll_next(cx)).map_err(answer::watch_error)? {
                Step::Events(events) => self.taken = events.into(),
                Step::Synced(revision) if self.terms.marks_initial_end => {
                    return Poll::Ready(Ok(self.bookmark(revision, true)));
                }
                Step::Synced(_) => {}
            }
        }
        Poll::Ready(Ok(self.lines()))
    }

    /// A bookmark, or the end.
    fn time_has_come(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if now >= self.terms.deadline {
            return None;
        }
        self.next_bookmark = next_bookmark(now, self.terms.deadline);
        self.timer.as_mut().reset(self.next_bookmark);
        let revision = self.watcher.position();
        Some(self.bookmark(revision, false))
    }

    fn lines(&mut self) -> Bytes {
        let Some(event) = self.taken.pop_front() else { return Bytes::new() };
        let first = self.line(&event);
        if self.taken.is_empty() || first.len() > SMALL {
            return first;
        }
        let mut out = BytesMut::with_capacity(PIECE.min((self.taken.len() + 1) * (first.len() + 64)));
        out.put(first);
        while out.len() < PIECE
            && let Some(event) = self.taken.pop_front()
        {
            let line = self.line(&event);
            out.put(line);
        }
        out.freeze()
    }

    fn line(&mut self, event: &Event) -> Bytes {
        let Terms { form, served, .. } = &self.terms;
        if form.media == Media::Protobuf {
            return self.protobuf_line(event);
        }
        if form.shape == Shape::Whole && served.kind.is_storage_version() {
            return event.frame();
        }
        let body = event.body();
        let object = match form.shape {
            Shape::Whole => render::whole(&*served.kind, &body),
            Shape::Metadata | Shape::MetadataList => render::metadata(form.meta, &body),
            Shape::Table(_) => self.table(event.revision, &body),
        };
        framed(event.kind, &object)
    }

    /// The frame of an event; the message of an object that is there is the one kept with it.
    fn protobuf_line(&self, event: &Event) -> Bytes {
        let Terms { form, served, .. } = &self.terms;
        let object = match (event.kind, form.shape) {
            (EventType::Deleted, Shape::Whole | Shape::Table(_)) => {
                protobuf::document(&render::whole(&*served.kind, &event.body()))
            }
            (EventType::Deleted, _) => protobuf::document(&render::metadata(form.meta, &event.body())),
            _ => render::protobuf_object(served, *form, &event.object),
        };
        match object {
            Ok(object) => protobuf::watch_frame(event.kind.as_str(), &object).into(),
            Err(why) => error_line(&Status::internal(why), Media::Protobuf),
        }
    }

    /// A table of one row; the first of a watch names the columns.
    fn table(&mut self, revision: i64, object: &Bytes) -> Bytes {
        let columns = self.columns();
        let Terms { form, served, app, .. } = &self.terms;
        let metadata = json!({ "resourceVersion": revision.to_string() });
        let mut table = render::table_lead(form.meta, columns.as_deref(), &metadata);
        if let Shape::Table(include) = form.shape {
            table.extend_from_slice(&render::row(&*served.kind, form.meta, include, object, app.core.clock.now()));
        }
        table.extend_from_slice(b"]}");
        table.into()
    }

    fn columns(&mut self) -> Option<Vec<Column>> {
        std::mem::take(&mut self.with_columns).then(|| self.terms.served.kind.columns())
    }

    fn bookmark(&mut self, revision: i64, initial_end: bool) -> Bytes {
        let Terms { form, served, .. } = &self.terms;
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let object = json!({
            "kind": served.kind.names().kind, "apiVersion": served.api_version, "metadata": metadata,
        });
        let object = Bytes::from(object.to_string());
        let form = *form;
        let object = match form.shape {
            Shape::Whole => object,
            Shape::Metadata | Shape::MetadataList => render::metadata(form.meta, &object),
            Shape::Table(_) => self.table(revision, &object),
        };
        said("BOOKMARK", &object, form.media)
    }
}

/// A minute from now, or shortly before the end; the end itself when that is past.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline.checked_sub(LAST_BOOKMARK).filter(|last| *last > now).unwrap_or(deadline);
    last.min(now + BOOKMARK_EVERY)
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
