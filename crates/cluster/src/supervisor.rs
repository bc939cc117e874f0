//! The supervisor: keeps the wanted processes running, and converges when it is told that they have changed.
//!
//! It owns nothing that cannot be found again: the wanted processes are a file, the running ones have records. When it is
//! killed everything runs on, and the next one adopts what it finds. It decides nothing about the cluster: which
//! processes are wanted, and where, is up to the commands.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gate::Gates;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::proc::Identity;
use crate::processes::Process;
use crate::record::{Record, digest};
use crate::{gate, spawn};

/// Time that a process has to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// A process that has run for so long has not failed because of the failure before.
const STEADY: Duration = Duration::from_secs(10);
/// Restarts in a row after which a process is thought to be broken rather than unlucky.
const UNLUCKY: u32 = 10;
const LOG_LIMIT: u64 = 16 << 20;
const LOG_CHECK: Duration = Duration::from_secs(60);

/// Contents of `processes.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub processes: Vec<Process>,
}

/// Time to wait before a process is started again that has failed `in_a_row` times.
fn back_off(in_a_row: u32) -> Duration {
    match in_a_row {
        0 | 1 => Duration::ZERO,
        2..=UNLUCKY => Duration::from_millis(100 << (in_a_row - 2).min(4)),
        _ => Duration::from_secs(10),
    }
}

/// Writes what is wanted, and returns when the supervisor has stopped what is not, and begun to start the rest.
/// Starts the supervisor if there is none.
pub async fn want(layout: &Layout, kctl: &Path, processes: Vec<Process>) -> anyhow::Result<()> {
    let wanted = serde_json::to_string_pretty(&Wanted { processes })?;
    crate::pki::write(&layout.wanted(), &wanted, 0o644)?;
    if is_outdated(layout, kctl).await {
        quit(layout).await;
    }
    if ask(layout, "sync").await.is_ok() {
        return Ok(());
    }
    let args = ["cluster", "supervise", "--dir"].map(str::to_owned).into_iter();
    let args: Vec<_> = args.chain([layout.dir().display().to_string()]).collect();
    let process = spawn::detached(kctl, &args, &layout.log("supervisor"), None)?;
    let socket = crate::processes::Gate::Socket(layout.supervisor_socket());
    tokio::select! {
        () = gate::open(&socket) => {}
        ended = process.ended() => anyhow::bail!("the supervisor failed ({}): see {}", ended?, layout.log("supervisor").display()),
    }
    ask(layout, "sync").await
}

/// Ends the supervisor and leaves its processes alone. Returns when another one can be started.
pub async fn quit(layout: &Layout) {
    let identity = pid(layout).await.and_then(Identity::of);
    if ask(layout, "quit").await.is_ok()
        && let Some(identity) = identity
    {
        let _ = tokio::time::timeout(GRACE, identity.ended()).await;
    }
}

/// Whether the supervisor runs another program than `kctl` is now. Its processes do not notice a change of guard.
async fn is_outdated(layout: &Layout, kctl: &Path) -> bool {
    let Some(pid) = pid(layout).await else { return false };
    std::fs::read_link(format!("/proc/{pid}/exe")).ok() != std::fs::canonicalize(kctl).ok()
}

/// The running supervisor's process.
pub async fn pid(layout: &Layout) -> Option<i32> {
    UnixStream::connect(layout.supervisor_socket()).await.ok()?.peer_cred().ok()?.pid()
}

async fn ask(layout: &Layout, what: &str) -> anyhow::Result<()> {
    let mut stream = BufReader::new(UnixStream::connect(layout.supervisor_socket()).await?);
    stream.write_all(format!("{what}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    anyhow::ensure!(answer.trim_end() == "ok", "the supervisor says: {}", answer.trim_end());
    Ok(())
}

/// Runs the supervisor of the cluster in `dir` until it is told to quit.
pub async fn supervise(dir: &Path) -> anyhow::Result<()> {
    let layout = Layout::new(dir);
    let _only = Lock::acquire(&layout.run().join("supervisor.lock")).context("another supervisor runs already")?;
    let socket = layout.supervisor_socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
    component::tls::install_provider();
    let mut keepers = Keepers { layout: layout.clone(), gates: Gates::default(), running: BTreeMap::new() };
    keepers.sync().await?;
    let logs = tokio::spawn(bound_logs(layout));
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.is_err() {
            continue;
        }
        let quit = line.trim_end() == "quit";
        let answer = match line.trim_end() {
            "sync" => keepers.sync().await.map_or_else(|error| format!("{error:#}"), |()| "ok".into()),
            "quit" => "ok".into(),
            other => format!("unknown request {other:?}"),
        };
        let _ = stream.write_all(format!("{answer}\n").as_bytes()).await;
        if quit {
            logs.abort();
            return Ok(std::fs::remove_file(&socket)?);
        }
    }
}

/// One task for every wanted process.
struct Keepers {
    layout: Layout,
    gates: Gates,
    running: BTreeMap<String, Keeper>,
}

struct Keeper {
    digest: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keepers {
    async fn sync(&mut self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.layout.wanted()).context("reading what is wanted")?;
        let wanted: Wanted = serde_json::from_str(&text).context("reading what is wanted")?;
        let wanted: BTreeMap<String, (String, Process)> =
            wanted.processes.into_iter().map(|process| (process.name.clone(), (digest(&process), process))).collect();
        self.end_unknown(&wanted).await;
        let outdated: Vec<String> = self
            .running
            .iter()
            .filter(|(name, keeper)| wanted.get(*name).is_none_or(|(digest, _)| *digest != keeper.digest))
            .map(|(name, _)| name.clone())
            .collect();
        let stopping: Vec<Keeper> = outdated.iter().filter_map(|name| self.running.remove(name)).collect();
        for keeper in &stopping {
            keeper.stop.cancel();
        }
        for keeper in stopping {
            let _ = keeper.task.await;
        }
        for (name, (digest, process)) in wanted {
            self.running.entry(name).or_insert_with(|| {
                let stop = CancellationToken::new();
                let task =
                    tokio::spawn(keep(self.layout.clone(), self.gates.clone(), process, digest.clone(), stop.clone()));
                Keeper { digest, stop, task }
            });
        }
        Ok(())
    }
}

impl Keepers {
    /// Ends what a former supervisor has started and nobody wants any more.
    async fn end_unknown(&self, wanted: &BTreeMap<String, (String, Process)>) {
        for record in std::fs::read_dir(self.layout.run().join("pids")).into_iter().flatten().flatten() {
            let file = record.file_name().to_string_lossy().into_owned();
            let known = |name: &String| self.layout.record(name).file_name() == Some(record.file_name().as_os_str());
            if wanted.keys().any(known) || self.running.keys().any(known) {
                continue;
            }
            if let Some(running) = Record::of_running(&self.layout, &file) {
                let _ = running.identity().stop(GRACE).await;
            }
            let _ = Record::remove(&self.layout, &file);
        }
    }
}

/// Keeps one process running until `stop`, and ends it then.
async fn keep(layout: Layout, known: Gates, process: Process, digest: String, stop: CancellationToken) {
    let mut in_a_row = 0;
    let mut restarts = 0;
    let name = process.name.as_str();
    let mut record = Record::of_running(&layout, name);
    match &record {
        Some(found) if found.digest == digest => {
            tracing::info!(process = name, pid = found.pid, "adopted");
            restarts = found.restarts;
        }
        Some(found) => {
            tracing::info!(process = name, pid = found.pid, "outdated, restarting");
            let _ = found.identity().stop(GRACE).await;
            record = None;
        }
        None => {}
    }
    if record.is_none() {
        let gates = async {
            for gate in &process.gates {
                known.open(gate).await;
            }
        };
        if stop.run_until_cancelled(gates).await.is_none() {
            return;
        }
    }
    loop {
        let since = Instant::now();
        let running = match record.take() {
            Some(found) => Ok(found),
            None => start(&layout, &process, &digest, restarts),
        };
        match running {
            Ok(running) => {
                let identity = running.identity();
                let ended = tokio::select! {
                    ended = identity.ended() => ended,
                    () = stop.cancelled() => {
                        if let Err(error) = identity.stop(GRACE).await {
                            tracing::error!(process = name, %error, "stopping");
                        }
                        let _ = Record::remove(&layout, name);
                        return;
                    }
                };
                let how = ended.unwrap_or_else(|error| error.to_string());
                tracing::warn!(process = name, pid = running.pid, how, "has ended");
            }
            Err(error) => tracing::error!(process = name, "{error:#}"),
        }
        in_a_row = if since.elapsed() >= STEADY { 1 } else { in_a_row + 1 };
        restarts += 1;
        if stop.run_until_cancelled(tokio::time::sleep(back_off(in_a_row))).await.is_none() {
            let _ = Record::remove(&layout, name);
            return;
        }
    }
}

fn start(layout: &Layout, process: &Process, digest: &str, restarts: u32) -> anyhow::Result<Record> {
    let identity = spawn::detached(&process.program, &process.args, &process.log, process.netns.as_deref())?;
    tracing::info!(process = process.name, pid = identity.pid, "started");
    let record = Record { pid: identity.pid, start_time: identity.start_time, digest: digest.to_owned(), restarts };
    record.save(layout, &process.name)?;
    Ok(record)
}

/// Keeps every log and one former part of it within [`LOG_LIMIT`]. The processes hold the files open for appending,
/// so a full one is copied and emptied, not renamed.
async fn bound_logs(layout: Layout) {
    loop {
        tokio::time::sleep(LOG_CHECK).await;
        let Ok(entries) = std::fs::read_dir(layout.logs()) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            if is_log && entry.metadata().is_ok_and(|file| file.len() > LOG_LIMIT) {
                let former = path.with_extension("log.1");
                let emptied = std::fs::copy(&path, &former)
                    .and_then(|_| std::fs::OpenOptions::new().write(true).open(&path)?.set_len(0));
                if let Err(error) = emptied {
                    tracing::warn!(log = %path.display(), %error, "cannot be bounded");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_is_back_at_once_and_a_broken_one_does_not_spin() {
        let within: Duration = (1..=3).map(back_off).sum();
        assert!(within < Duration::from_secs(2));
        assert_eq!(back_off(1), Duration::ZERO);
        assert!((2..=UNLUCKY).all(|n| back_off(n) <= Duration::from_millis(1600)));
        assert_eq!(back_off(UNLUCKY + 1), Duration::from_secs(10));
    }
}
