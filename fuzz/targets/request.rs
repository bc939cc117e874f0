//! Whole requests against a server on a memory store: no panic, whatever is asked for.
//!
//! The input is a line `METHOD path?query`, header lines, an empty line and a body.

#![no_main]

use std::{cell::RefCell, sync::Arc, time::Duration};

use apiserver::{Config, Parts, Running, random::Random};
use bytes::Bytes;
use clap::Parser;
use component::{
    Identity, Shutdown, TokioClock,
    serve::{self, Peer},
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use store::memory::Memory;
use tokio::runtime::Runtime;

/// Requests before the server begins anew, so that what they leave behind does not grow.
const REQUESTS: usize = 2000;
/// Watches are left after a moment (of a paused clock).
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

struct Fuzzed {
    runtime: Runtime,
    server: Running,
    shutdown: Shutdown,
    left: usize,
}

thread_local! {
    static FUZZED: RefCell<Option<Fuzzed>> = const { RefCell::new(None) };
}

fuzz_target!(|data: &[u8]| {
    let Some(request) = read(data) else { return };
    FUZZED.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|fuzzed| fuzzed.left == 0) {
            *slot = Some(start());
        }
        let Some(fuzzed) = slot else { return };
        fuzzed.left -= 1;
        let answer = fuzzed.runtime.block_on(send(&fuzzed.server, &fuzzed.shutdown, request));
        assert!(!answer.is_some_and(|(code, body)| is_own_fault(code, &body)), "the server's own fault");
    });
});

fn start() -> Fuzzed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let shutdown = Shutdown::new();
    let server = runtime.block_on(async {
        let clock = TokioClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let parts =
            Parts { backend: Arc::new(Memory::new()), clock: Arc::new(clock), random: Arc::new(Random::seeded(1)) };
        let config = Flags::parse_from(["kogge-apiserver", "--advertise-address", "192.0.2.7"]).config;
        let server = apiserver::run_with(parts, config, shutdown.clone()).await.unwrap();
        while !server.checks.answer("/readyz", None).is_some_and(|answer| answer.status().is_success()) {
            tokio::task::yield_now().await;
        }
        server
    });
    Fuzzed { runtime, server, shutdown, left: REQUESTS }
}

fn read(data: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let body = data.get(end + 2..).unwrap_or_default();
    let mut lines = std::str::from_utf8(&data[..end]).ok()?.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path).header("host", "fuzz");
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        // Upgrades leave HTTP.
        if !["connection", "upgrade", "content-length", "transfer-encoding", "host", "expect"]
            .contains(&name.to_lowercase().as_str())
        {
            request = request.header(name, value.trim());
        }
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).ok()
}

/// As upstream, a configuration that cannot be applied is answered 500 as well, without that reason.
fn is_own_fault(code: StatusCode, body: &[u8]) -> bool {
    let reason = b"InternalError";
    code == StatusCode::INTERNAL_SERVER_ERROR && body.windows(reason.len()).any(|part| part == reason)
}

async fn send(server: &Running, shutdown: &Shutdown, request: Request<Full<Bytes>>) -> Option<(StatusCode, Bytes)> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let identity = Identity { user: "admin".into(), groups: vec!["system:masters".into()], ..Identity::default() };
    let peer = Peer { identity: Some(identity), ..Peer::default() };
    let served = tokio::spawn(serve::stream(far, peer, server.server.clone(), shutdown.clone()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.ok()?;
    let driven = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let code = response.status();
        let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.ok();
        Some((code, body.and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default()))
    };
    let answer = tokio::time::timeout(Duration::from_secs(120), answer).await.ok().flatten();
    driven.abort();
    served.abort();
    answer
}
