//! A small HTTP server to run in pods: it says which pod answers, and can be told to misbehave.
//!
//! Environment: `PORT` (8080), `POD_NAME` (else `HOSTNAME`), `VERSION` (`v1`), `READY_AFTER` (seconds until `/ready`
//! first says yes), `EXIT_AFTER` (seconds) with `EXIT_CODE`. What the paths do is in [`answer::Hello::answer`]. On the same
//! port it answers gRPC health checks ([`health`]), over HTTP/2 as gRPC does.

mod answer;
mod health;

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long open requests may take once the process was told to end.
const DRAIN: Duration = Duration::from_secs(25);
/// Bytes of a health check's request.
const MESSAGE_MAX: usize = 1024;

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let hello = Arc::new(answer::Hello::new(env("POD_NAME").or_else(|| env("HOSTNAME")), env("VERSION")));
    hello.clone().ready_after(Duration::from_secs(number("READY_AFTER")?));
    if env::<u64>("EXIT_AFTER").is_some() {
        answer::exit_after(Duration::from_secs(number("EXIT_AFTER")?), number("EXIT_CODE")?);
    }

    let port = env("PORT").unwrap_or(8080u16);
    let listener = TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("listening on port {port}"))?;
    println!("{} {} listens on port {port}", hello.name, hello.version);

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors, or a client that left early: the next one may do better.
                Err(error) => { eprintln!("accept: {error}"); continue }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let hello = hello.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let hello = hello.clone();
            async move {
                if request.uri().path() == health::PATH {
                    // One that is too long is answered as one that is not understood.
                    let body = Limited::new(request.into_body(), MESSAGE_MAX).collect().await;
                    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                    return Ok::<_, Infallible>(health::answer(&body, hello.is_healthy()));
                }
                Ok(hello.answer(request.uri(), peer).await.map(|body| body.boxed()))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move { connection.await.ok() });
    }
    drop(listener);
    println!("{} ends", hello.name);
    tokio::time::timeout(DRAIN, graceful.shutdown()).await.ok();
    Ok(())
}

fn env<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// A number from the environment; zero if unset, and an error if it is not a number.
fn number<T: FromStr + Default>(name: &str) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(value) => value.parse().map_err(|_| anyhow::anyhow!("{name}={value} is not a number")),
        Err(_) => Ok(T::default()),
    }
}
