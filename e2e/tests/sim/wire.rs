//! The network of the simulation: streams in memory to whichever API server runs now, cut when either end dies.

use std::{io, sync::Arc};

use apiserver::Server;
use client::Connector;
use component::{Identity, Shutdown, serve};
use parking_lot::Mutex;
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    task::AbortHandle,
};

const BUFFER: usize = 64 * 1024;

/// Where connections go: the living API server, if there is one.
#[derive(Clone, Default)]
pub struct Switchboard(Arc<Mutex<Option<Living>>>);

struct Living {
    server: Arc<Server>,
    shutdown: Shutdown,
    lines: Lines,
}

/// Connections that end together.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<AbortHandle>>>);

impl Lines {
    pub fn cut(&self) {
        self.0.lock().drain(..).for_each(|line| line.abort());
    }

    fn add(&self, line: AbortHandle) {
        let mut lines = self.0.lock();
        lines.retain(|l| !l.is_finished());
        lines.push(line);
    }
}

impl Switchboard {
    pub fn connect(&self, server: Arc<Server>, shutdown: Shutdown) {
        *self.0.lock() = Some(Living { server, shutdown, lines: Lines::default() });
    }

    /// The server is gone, in the middle of whatever it was sending.
    pub fn disconnect(&self) {
        if let Some(former) = self.0.lock().take() {
            former.lines.cut();
        }
    }

    /// A connector whose own identity is that of a client certificate, and whose connections end with `lines`.
    pub fn connector(&self, user: &str, groups: &[&str], lines: &Lines) -> anyhow::Result<Connector> {
        let groups = groups.iter().copied().chain(["system:authenticated"]).map(str::to_owned).collect();
        let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
        let (board, lines) = (self.clone(), lines.clone());
        Connector::in_memory(user, move |own| {
            let stream = board.dial(own.then(|| identity.clone()), &lines);
            async move { stream }
        })
    }

    fn dial(&self, identity: Option<Identity>, lines: &Lines) -> io::Result<DuplexStream> {
        let board = self.0.lock();
        let living = board.as_ref().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, mut near_end) = duplex(BUFFER);
        let (mut far_end, far) = duplex(BUFFER);
        let line = tokio::spawn(async move { copy_bidirectional(&mut near_end, &mut far_end).await.map(drop) });
        lines.add(line.abort_handle());
        living.lines.add(line.abort_handle());
        let peer = serve::Peer { identity, ..serve::Peer::default() };
        tokio::spawn(serve::stream(far, peer, living.server.clone(), living.shutdown.clone()));
        Ok(near)
    }
}
