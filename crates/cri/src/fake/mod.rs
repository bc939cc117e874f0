//! An in-memory runtime with CRI's manners, for the simulation and for tests.
//!
//! It is deterministic: ids and addresses count up, time is tokio's (so a paused clock drives it), and nothing happens
//! that its owner did not ask for. Containers run until they are stopped, unless [`Fake::on_start`] says otherwise.
//! A clone is another handle of the same runtime: a restarted kubelet finds what ran before.

mod call;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::error::Error;
use crate::reference::normalize;
use crate::runtime::{Change, Event, ExecOutput};
use crate::v1;
use state::State;

/// Events kept for readers that fall behind; one that falls further is told to [`Event::Resync`].
const BUFFER: usize = 4096;

/// What a started container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Ends by itself after that time, with that exit code.
    pub ends: Option<(Duration, i32)>,
    /// How long it takes to end when asked to, and with which exit code; `None` ignores SIGTERM.
    pub on_term: Option<(Duration, i32)>,
}

impl Default for Life {
    /// Runs until it is stopped, at once and with code 0.
    fn default() -> Life {
        Life { ends: None, on_term: Some((Duration::ZERO, 0)) }
    }
}

/// The calls that can be delayed or made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `run_pod_sandbox`
    RunPodSandbox,
    /// `stop_pod_sandbox`
    StopPodSandbox,
    /// `remove_pod_sandbox`
    RemovePodSandbox,
    /// `create_container`
    CreateContainer,
    /// `start_container`
    StartContainer,
    /// `stop_container`
    StopContainer,
    /// `remove_container`
    RemoveContainer,
    /// `exec_sync`
    ExecSync,
    /// `pull_image`
    PullImage,
    /// The calls that only ask.
    Read,
}

type OnStart = dyn Fn(&v1::ContainerConfig) -> Life + Send + Sync;
type OnExec = dyn Fn(&v1::ContainerConfig, &[String]) -> ExecOutput + Send + Sync;

/// A runtime that exists in memory only.
#[derive(Clone)]
pub struct Fake {
    shared: Arc<Shared>,
}

struct Shared {
    now: Box<dyn Fn() -> jiff::Timestamp + Send + Sync>,
    events: broadcast::Sender<Event>,
    state: Mutex<State>,
    control: Mutex<Control>,
}

/// What the owner told the fake to do.
struct Control {
    down: bool,
    failures: BTreeMap<Call, VecDeque<Error>>,
    delays: BTreeMap<Call, Duration>,
    on_start: Arc<OnStart>,
    on_exec: Arc<OnExec>,
    registry: Vec<String>,
}

impl Fake {
    /// A runtime without images, whose pods get addresses after `first_ip`. `now` is the time it writes into statuses.
    pub fn new(first_ip: Ipv4Addr, now: impl Fn() -> jiff::Timestamp + Send + Sync + 'static) -> Fake {
        let control = Control {
            down: false,
            failures: BTreeMap::new(),
            delays: BTreeMap::new(),
            on_start: Arc::new(|_| Life::default()),
            on_exec: Arc::new(|_, _| ExecOutput::default()),
            registry: Vec::new(),
        };
        let shared = Shared {
            now: Box::new(now),
            events: broadcast::channel(BUFFER).0,
            state: Mutex::new(State::new(first_ip)),
            control: Mutex::new(control),
        };
        Fake { shared: Arc::new(shared) }
    }

    /// Makes an image present, as an import does.
    pub fn add_image(&self, image: &str) {
        self.state().add_image(&normalize(image));
    }

    /// Makes an image pullable.
    pub fn publish_image(&self, image: &str) {
        self.control().registry.push(normalize(image));
    }

    /// Decides what containers do once they are started.
    pub fn on_start(&self, life: impl Fn(&v1::ContainerConfig) -> Life + Send + Sync + 'static) {
        self.control().on_start = Arc::new(life);
    }

    /// Decides what commands in containers answer.
    pub fn on_exec(&self, answer: impl Fn(&v1::ContainerConfig, &[String]) -> ExecOutput + Send + Sync + 'static) {
        self.control().on_exec = Arc::new(answer);
    }

    /// Makes the next call of that kind fail without effect. May be repeated: failures queue.
    pub fn fail_next(&self, call: Call, error: Error) {
        self.control().failures.entry(call).or_default().push_back(error);
    }

    /// Makes each call of that kind take so long before it has its effect.
    pub fn delay(&self, call: Call, time: Duration) {
        self.control().delays.insert(call, time);
    }

    /// Stops answering, or answers again. Containers run on meanwhile, as they do when containerd restarts.
    pub fn set_down(&self, down: bool) {
        let was = std::mem::replace(&mut self.control().down, down);
        if was && !down {
            self.shared.events.send(Event::Resync).ok();
        }
    }

    /// Ends a running container's process with that code. False if it does not run.
    pub fn exit(&self, container: &str, code: i32) -> bool {
        self.end(container, code, "")
    }

    /// Ends a running container as the kernel does when it is out of memory. False if it does not run.
    pub fn oom_kill(&self, container: &str) -> bool {
        self.tell(container, Change::OutOfMemory);
        self.end(container, 137, "OOMKilled")
    }

    /// Ends a sandbox's own process, as when somebody kills it. Its containers run on. False if it does not run.
    pub fn kill_sandbox(&self, sandbox: &str) -> bool {
        let killed = self.state().stop_sandbox(sandbox);
        if killed {
            self.tell(sandbox, Change::Exited);
        }
        killed
    }

    /// Ends everything, as a reboot of the node does: what ran has exited with 255, sandboxes are not ready.
    pub fn reboot(&self) {
        let (containers, sandboxes) = self.state().running();
        for id in containers {
            self.end(&id, 255, "Unknown");
        }
        for id in sandboxes {
            self.kill_sandbox(&id);
        }
        self.shared.events.send(Event::Resync).ok();
    }

    /// The configuration of every container that runs, by id.
    pub fn running(&self) -> BTreeMap<String, v1::ContainerConfig> {
        self.state().running_containers()
    }

    fn end(&self, container: &str, code: i32, reason: &str) -> bool {
        let ended = self.state().end(container, code, reason, self.nanos());
        if ended {
            self.tell(container, Change::Exited);
        }
        ended
    }

    fn tell(&self, id: &str, change: Change) {
        // Nobody may listen.
        self.shared.events.send(Event::Changed { id: id.to_owned(), change }).ok();
    }

    fn nanos(&self) -> i64 {
        i64::try_from((self.shared.now)().as_nanosecond()).unwrap_or(i64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.shared.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
