//! What a cluster consists of right now, read from records and sockets: it answers without a supervisor too.

use std::path::Path;

use anyhow::Context;

use crate::layout::Layout;
use crate::options::Spec;
use crate::processes::{Programs, processes};
use crate::record::Record;
use crate::supervisor::{self, Wanted};

#[derive(Clone, Debug)]
pub struct Status {
    /// The supervisor's process.
    pub supervisor: Option<i32>,
    /// Processes of the control plane.
    pub control_plane: Vec<ProcessStatus>,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Clone, Debug)]
pub struct NodeStatus {
    pub name: String,
    pub address: String,
    pub processes: Vec<ProcessStatus>,
}

#[derive(Clone, Debug)]
pub struct ProcessStatus {
    pub name: String,
    pub state: ProcessState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    Running {
        pid: i32,
        restarts: u32,
    },
    /// It should run: the supervisor waits before it starts it again, or has gone.
    Down,
    /// Nobody wants it to run.
    Stopped,
}

impl Status {
    /// Whether everything that should run does.
    pub fn is_whole(&self) -> bool {
        let all = self.control_plane.iter().chain(self.nodes.iter().flat_map(|node| &node.processes));
        self.supervisor.is_some()
            && all.into_iter().all(|process| matches!(process.state, ProcessState::Running { .. }))
    }
}

/// The cluster whose state lies in `dir`; an error when there is none.
pub async fn status(dir: &Path) -> anyhow::Result<Status> {
    let (layout, spec) = existing(dir)?;
    let wanted = wanted(&layout);
    let of = |node: Option<&str>| -> Vec<ProcessStatus> {
        processes(&layout, &spec, &Programs::new())
            .iter()
            .filter(|process| process.node() == node)
            .map(|process| ProcessStatus {
                name: process.name.clone(),
                state: match Record::of_running(&layout, &process.name) {
                    Some(record) => ProcessState::Running { pid: record.pid, restarts: record.restarts },
                    None if wanted.processes.iter().any(|one| one.name == process.name) => ProcessState::Down,
                    None => ProcessState::Stopped,
                },
            })
            .collect()
    };
    let node = |name: &String| NodeStatus {
        name: name.clone(),
        address: spec.address(name).to_string(),
        processes: of(Some(name)),
    };
    Ok(Status {
        supervisor: supervisor::pid(&layout).await,
        control_plane: of(None),
        nodes: spec.nodes.iter().map(node).collect(),
    })
}

/// What the supervisor has been told to run.
pub fn wanted(layout: &Layout) -> Wanted {
    let text = std::fs::read_to_string(layout.wanted()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The layout and record of a cluster that has been brought up before.
pub fn existing(dir: &Path) -> anyhow::Result<(Layout, Spec)> {
    let layout = Layout::new(&std::path::absolute(dir)?);
    let spec = load_spec(&layout)?;
    let spec = spec.with_context(|| format!("no cluster in {}: `kctl cluster up` makes one", dir.display()))?;
    Ok((layout, spec))
}

pub fn load_spec(layout: &Layout) -> anyhow::Result<Option<Spec>> {
    let path = layout.spec();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
