//! The way of a request through the server: [`Server::pass`] is the whole chain, in order.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api_types::Status;
use bytes::{Bytes, BytesMut};
use component::serve::{self, Handler, Peer};
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Uri, header, request::Parts};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use crate::{
    answer::{self, Answer},
    app::App,
    authn::impersonation,
    core::Served,
    metrics::{self, Counted, LongRunning},
    negotiate::{self, Form},
    paths,
    query::Query,
    request::{Attributes, RequestInfo, User},
    request_info, rest,
};

/// Bodies larger than that are refused, as upstream.
const MAX_BODY: usize = 3 << 20;
const MAX_DRAINED: usize = 32 << 20;
/// Requests that may wait for each that is in flight, and for how long.
const WAITING_PER_SLOT: usize = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub struct Server {
    app: Arc<App>,
    room: Room,
}

/// Room for requests in flight. When it is full, requests wait in line; when the line is full or does not move, they are
/// turned away.
struct Room {
    slots: Semaphore,
    line: Semaphore,
}

impl Room {
    async fn enter(&self) -> Result<SemaphorePermit<'_>, Status> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let full = || Status::too_many_requests("Too many requests, please try again later.", 1);
        let _place = self.line.try_acquire().map_err(|_| full())?;
        timeout(LONGEST_WAIT, self.slots.acquire()).await.ok().and_then(Result::ok).ok_or_else(full)
    }
}

impl Server {
    pub fn new(app: Arc<App>) -> Arc<Self> {
        let slots = app.core.config.max_requests_inflight;
        let room = Room { slots: Semaphore::new(slots), line: Semaphore::new(slots * WAITING_PER_SLOT) };
        Arc::new(Self { app, room })
    }

    /// Health, then who asks, whether they may, whether there is room, and then the answer.
    async fn pass(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        info: RequestInfo<'_>,
        uri: &Uri,
    ) -> Result<Answer, Status> {
        if let Some(answer) = self.app.checks.answer(info.path, uri.query()) {
            return Ok(answer);
        }
        let (parts, body) = request.into_parts();
        let sender = self.app.authenticator.authenticate(&parts, peer).await?;
        let decide = |user: &User, asked: &api_rules::authz::Attributes| self.app.authorizer.decide(user, asked);
        let user = impersonation::impersonated(&sender, &parts.headers, decide)?.map_or(sender, Arc::new);
        let query = uri.query().unwrap_or("");
        self.app.authorizer.check(&Attributes { user: &user, info, query })?;
        if is_stream(info) {
            let served = self.served(info)?;
            let open = LongRunning::enter("connect", &served, info);
            let answer = self.app.node_proxy.serve(Request::from_parts(parts, body), &user, info).await?;
            return Ok(counted_to_its_end(answer, open));
        }
        let _slot = self.room.enter().await?;
        let _counted = Counted::inflight(info);
        let limit = Duration::from_secs(self.app.core.config.request_timeout);
        match timeout(limit, self.dispatch(&parts, body, &user, info, query)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::timeout("request did not complete within the allotted timeout", 0)),
        }
    }

    /// What the path names. While definitions are being read, nobody knows what will be there.
    fn served(&self, info: RequestInfo) -> Result<Arc<Served>, Status> {
        self.app.core.served(info.group, info.version, info.resource).ok_or_else(|| {
            if self.app.definitions.get() {
                return Status::path_not_found();
            }
            Status::service_unavailable("custom resources are being loaded, please try again")
        })
    }

    async fn dispatch(
        &self,
        parts: &Parts,
        body: Incoming,
        user: &User,
        info: RequestInfo<'_>,
        query: &str,
    ) -> Result<Answer, Status> {
        if !info.is_resource {
            return paths::serve(&self.app, parts, info).await;
        }
        let served = self.served(info)?;
        let warnings = Mutex::default();
        let call = rest::Call {
            app: &self.app,
            served: &served,
            user,
            info,
            query: Query::parse(query),
            headers: &parts.headers,
            body: negotiate::readable(&parts.headers, read(body).await?)?,
            warnings: &warnings,
            upgrade: parts.extensions.get::<OnUpgrade>().cloned(),
        };
        let mut response = rest::serve(&call).await?;
        answer::add_warnings(&mut response, &warnings.lock());
        Ok(answer::compress(response, &parts.headers))
    }
}

/// What decides the form of an error, kept until it is known whether there is one.
struct Wanted {
    accept: Option<HeaderValue>,
    agent: Option<HeaderValue>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        Self { accept: headers.get(header::ACCEPT).cloned(), agent: headers.get(header::USER_AGENT).cloned() }
    }

    /// The status as the client asked for objects; JSON if that is not to be had.
    fn status(self, status: &Status, query: &str) -> Answer {
        let named = [(header::ACCEPT, self.accept), (header::USER_AGENT, self.agent)];
        let headers = named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        answer::status_in(status, Form::of(&headers, &Query::parse(query), true).unwrap_or_default())
    }
}

/// Subresources whose answer is a stream between the client and a kubelet or pod.
fn is_stream(info: RequestInfo) -> bool {
    info.is_resource && matches!(info.subresource, "log" | "exec" | "attach" | "portforward" | "proxy")
}

/// Keeps a stream counted until its body has been sent.
fn counted_to_its_end(answer: Answer, open: LongRunning) -> Answer {
    answer.map(|body| match body {
        serve::Body::Stream(stream) => serve::Body::stream(stream.inspect(move |_| {
            let _ = &open;
        })),
        other => other,
    })
}

/// The whole body. One that is too large is read on for a while, so that its sender gets to see the answer.
async fn read(mut body: Incoming) -> Result<Bytes, Status> {
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > MAX_DRAINED {
            break;
        } else if length > MAX_BODY {
            whole.clear();
        } else if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        } else {
            whole.extend_from_slice(&data);
        }
    }
    if length > MAX_BODY {
        return Err(Status::request_entity_too_large(format_args!("limit is {MAX_BODY}")));
    }
    Ok(whole.freeze())
}

impl Handler for Server {
    async fn handle(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Answer {
        let started = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let wanted = Wanted::of(request.headers());
        let info = request_info::parse(&method, uri.path(), uri.query().unwrap_or(""));
        let outcome = AssertUnwindSafe(self.pass(request, &peer, info, &uri)).catch_unwind().await;
        let answer = match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => wanted.status(&status, uri.query().unwrap_or("")),
            Err(_) => {
                tracing::error!(%method, path = uri.path(), "a request ended in a panic");
                answer::status(&Status::internal(
                    "this request caused apiserver to panic. Look in the logs for details",
                ))
            }
        };
        let dry_run = uri.query().is_some_and(|query| query.contains("dryRun=All"));
        metrics::record(info, dry_run, answer.status(), started.elapsed());
        tracing::debug!(%method, path = uri.path(), code = answer.status().as_u16(), took = ?started.elapsed());
        answer
    }
}
