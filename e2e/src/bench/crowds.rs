//! Many clients at once: watchers that wait, watchers that do not read, and a storm of large lists.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    api::{JSON, MERGE, Phases, name, path, pod, read, write},
    load::{self, Connection, Target},
    report,
};

/// Watchers that each want the pods of one node, and a few to compare with.
const IDLE: [usize; 2] = [100, 10_000];
/// Watches on one HTTP/2 connection.
const STREAMS: usize = 200;
const SLOW: usize = 1_000;
const SLOW_EVENTS: usize = 100_000;
const LISTERS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// The cost of an event for one of many watchers.
pub(super) async fn idle_watchers(phases: &Phases<'_>) -> anyhow::Result<()> {
    for count in IDLE {
        let before = phases.memory();
        let seen = Arc::new(AtomicUsize::new(0));
        let watchers = watch_nodes(phases, count, &seen).await?;
        let grown = phases.memory() - before;
        let start = phases.cpu();
        let events = 2_000.min(count * 20);
        let bound = move |n: usize| {
            let mut pod = pod(n);
            pod["metadata"]["name"] = format!("idle-{count}-{n}").into();
            pod["spec"]["nodeName"] = node(n % count).into();
            write(Method::POST, path(""), JSON, pod)
        };
        load::phase(phases.target, 16, events, bound).await?;
        let all = async {
            while seen.load(Ordering::Relaxed) < events {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, all).await.context("not every watcher saw its pod")?;
        let cost = phases.cost(start, events);
        ensure!(seen.load(Ordering::Relaxed) == events, "a watcher saw another one's pod");
        drop(watchers);
        let each = json!({
            "apiserver_ms_per_create_and_event": cost["apiserver_ms_per_op"],
            "apiserver_kb_per_watcher": report::rounded(grown * 1000.0 / count as f64),
            "apiserver_peak_mb": cost["apiserver_peak_mb"],
        });
        report::line(&format!("{count} idle watchers by node"), each);
        let gone = move |n: usize| {
            let now = json!({"gracePeriodSeconds": 0});
            write(Method::DELETE, path(&format!("idle-{count}-{n}")), JSON, now)
        };
        load::phase(phases.target, 16, events, gone).await?;
    }
    Ok(())
}

fn node(n: usize) -> String {
    format!("node-{n:05}")
}

async fn watch_nodes(phases: &Phases<'_>, count: usize, seen: &Arc<AtomicUsize>) -> anyhow::Result<JoinSet<()>> {
    let mut watchers = JoinSet::new();
    let mut shared = None;
    for n in 0..count {
        if n % STREAMS == 0 {
            shared = Some(phases.target.connect_http2().await?);
        }
        let mut connection = shared.clone().context("a connection was made before")?;
        let at = path(&format!("?watch=true&fieldSelector=spec.nodeName%3D{}", node(n)));
        let mut body = connection.send(&at).await?.into_body();
        let seen = seen.clone();
        watchers.spawn(async move {
            let _connection = connection;
            while let Some(Ok(frame)) = body.frame().await {
                let added = frame.data_ref().map_or(0, |data| lines(data, br#"{"type":"ADDED""#));
                seen.fetch_add(added, Ordering::Relaxed);
            }
        });
    }
    Ok(watchers)
}

fn lines(data: &[u8], lead: &[u8]) -> usize {
    data.split(|byte| *byte == b'\n').filter(|line| line.starts_with(lead)).count()
}

/// Watchers that stop reading, and a few that go on.
pub(super) async fn slow_watchers(phases: &Phases<'_>, pods: usize) -> anyhow::Result<()> {
    let mut slow: Vec<(Connection, Incoming)> = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        slow.push(watch_all(phases).await?);
    }
    let seen: Vec<Arc<AtomicUsize>> = (0..10).map(|_| Arc::default()).collect();
    let mut readers = JoinSet::new();
    for seen in seen.clone() {
        let (connection, mut body) = watch_all(phases).await?;
        readers.spawn(async move {
            let _connection = connection;
            while let Some(Ok(frame)) = body.frame().await {
                let count = frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                seen.fetch_add(count, Ordering::Relaxed);
            }
        });
    }
    let before = phases.memory();
    let change = move |n: usize| {
        let body = json!({"metadata": {"annotations": {"slow": n.to_string()}}});
        write(Method::PATCH, path(&name(n % pods)), MERGE, body)
    };
    let outcome = load::phase(phases.target, 64, SLOW_EVENTS, change).await?;
    let after = phases.memory();
    let all = async {
        while seen.iter().any(|seen| seen.load(Ordering::Relaxed) < SLOW_EVENTS) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all).await.context("a watcher that reads missed events")?;
    drop(readers);
    let (mut told, mut closed) = (0, 0);
    for (_connection, body) in slow {
        match ending(body).await? {
            Ending::Expired => told += 1,
            Ending::Closed => closed += 1,
        }
    }
    report::line(
        &format!("{SLOW} watchers that do not read, {SLOW_EVENTS} events"),
        json!({
            "events_per_s": report::rounded(SLOW_EVENTS as f64 / outcome.elapsed.as_secs_f64()),
            "apiserver_mb_before": report::rounded(before), "apiserver_mb_after": report::rounded(after),
            "apiserver_peak_mb": report::rounded(phases.peak()), "told_410": told, "closed": closed,
        }),
    );
    Ok(())
}

async fn watch_all(phases: &Phases<'_>) -> anyhow::Result<(Connection, Incoming)> {
    let mut connection = phases.target.connect().await?;
    let revision = phases.revision().await?;
    let at = path(&format!("?watch=true&resourceVersion={revision}"));
    let body = connection.send(Method::GET, &at, JSON, Bytes::new()).await?.into_body();
    Ok((connection, body))
}

enum Ending {
    Expired,
    Closed,
}

/// Reads what was left unread, to the end.
async fn ending(mut body: Incoming) -> anyhow::Result<Ending> {
    let mut last = Vec::new();
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.context("a slow watcher is neither told nor closed")?;
        let Some(Ok(frame)) = frame else { return Ok(Ending::Closed) };
        last.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let begun = last.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if last.split(|byte| *byte == b'\n').any(|line| line.starts_with(br#"{"type":"ERROR""#)) {
            ensure!(String::from_utf8_lossy(&last).contains("\"code\":410"), "another error than 410");
            return Ok(Ending::Expired);
        }
        last.drain(..begun);
    }
}

/// Everybody lists everything at once, while somebody asks for single objects.
pub(super) async fn list_storm(phases: &Phases<'_>, pods: usize) -> anyhow::Result<()> {
    let mut connections = Vec::with_capacity(LISTERS);
    for _ in 0..LISTERS {
        connections.push(phases.target.connect().await?);
    }
    let gate = Arc::new(Barrier::new(LISTERS + 1));
    let mut storm = JoinSet::new();
    for mut connection in connections {
        let gate = gate.clone();
        storm.spawn(async move {
            gate.wait().await;
            let begun = Instant::now();
            let bytes = connection.round(Method::GET, &path(""), JSON, Bytes::new()).await?;
            anyhow::Ok((begun.elapsed(), bytes))
        });
    }
    let over = Arc::new(AtomicBool::new(false));
    let (target, ended) = (phases.target.clone(), over.clone());
    // On a thread of its own, so that it does not wait behind the storm's readers.
    let prober = std::thread::spawn(move || probe(&target, pods, &ended));
    let before = phases.memory();
    gate.wait().await;
    let start = (Instant::now(), phases.cpu());
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    while let Some(done) = storm.join_next().await {
        let (latency, length) = done??;
        latencies.push(latency);
        bytes += length;
    }
    let seconds = start.0.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let mut probes = prober.join().map_err(|_| anyhow!("the prober panicked"))??;
    let cost = phases.cost(start.1, LISTERS);
    let small: Value = report::percentiles(&mut probes);
    report::line(
        &format!("{LISTERS} lists of everything at once"),
        json!({
            "seconds": report::rounded(seconds), "mb_per_s": report::rounded(bytes as f64 / 1e6 / seconds),
            "list": report::percentiles(&mut latencies), "small_requests_meanwhile": small, "probes": probes.len(),
            "apiserver_ms_per_list": cost["apiserver_ms_per_op"], "apiserver_mb_before": report::rounded(before),
            "apiserver_peak_mb": cost["apiserver_peak_mb"],
        }),
    );
    Ok(())
}

/// Gets one object after the other until it is over.
fn probe(target: &Target, pods: usize, over: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = target.connect().await?;
        let mut latencies = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let call = read(path(&name(latencies.len() % pods)));
            let begun = Instant::now();
            connection.round(call.method, &call.path, call.kind, call.body).await?;
            latencies.push(begun.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(latencies)
    })
}
