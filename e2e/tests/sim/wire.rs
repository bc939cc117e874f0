//! The network of the simulation: streams in memory to whichever API server runs now, cut when either end dies. What
//! a server says can be held back, and a client be silenced in the middle of its next writes.

use std::{io, sync::Arc};

use apiserver::Server;
use client::Connector;
use component::{Identity, Shutdown, serve};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split},
    sync::watch,
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
#[derive(Clone)]
pub struct Lines {
    open: Arc<Mutex<Vec<AbortHandle>>>,
    /// The server is not heard: its caches grow old, answers to writes do not come.
    held: Arc<watch::Sender<bool>>,
    fuse: Arc<watch::Sender<Fuse>>,
}

/// After how much more of what the client sends its connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fuse {
    None,
    Burns { left: u64, last_arrives: bool },
    Blown,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            held: Arc::new(watch::Sender::new(false)),
            fuse: Arc::new(watch::Sender::new(Fuse::None)),
        }
    }
}

impl Lines {
    pub fn cut(&self) {
        self.open.lock().drain(..).for_each(|line| line.abort());
    }

    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Lets so many more pieces of what the client sends pass, then ends all connections for good. The last piece
    /// arrives at the server or does not; its answer never comes.
    pub fn light_fuse(&self, left: u64, last_arrives: bool) {
        self.fuse.send_replace(Fuse::Burns { left, last_arrives });
    }

    /// Returns once the fuse is blown.
    pub async fn blown(&self) {
        // The sender lives as long as `self`.
        let _ = self.fuse.subscribe().wait_for(|fuse| *fuse == Fuse::Blown).await;
    }

    fn add(&self, line: AbortHandle) {
        let mut lines = self.open.lock();
        lines.retain(|l| !l.is_finished());
        lines.push(line);
    }

    /// Whether the next piece passes.
    fn burn(&self) -> bool {
        let mut passes = true;
        self.fuse.send_if_modified(|fuse| match fuse {
            Fuse::None => false,
            Fuse::Blown => {
                passes = false;
                false
            }
            Fuse::Burns { left: 0, last_arrives } => {
                passes = *last_arrives;
                *fuse = Fuse::Blown;
                true
            }
            Fuse::Burns { left, .. } => {
                *left -= 1;
                false
            }
        });
        passes
    }

    async fn carry(self, client: DuplexStream, server: DuplexStream) {
        let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
        tokio::select! {
            _ = self.up(from_client, to_server) => {}
            _ = self.down(from_server, to_client) => {}
        }
    }

    async fn up(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut piece = vec![0; BUFFER];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 || !self.burn() {
                return Ok(());
            }
            to.write_all(&piece[..length]).await?;
        }
    }

    async fn down(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let (mut piece, mut held) = (vec![0; BUFFER], self.held.subscribe());
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            let heard = async {
                // The sender lives as long as `self`.
                let _ = held.wait_for(|held| !*held).await;
                self.fuse.subscribe().borrow().ne(&Fuse::Blown)
            };
            if !heard.await {
                return Ok(());
            }
            to.write_all(&piece[..length]).await?;
        }
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
        let (near, near_end) = duplex(BUFFER);
        let (far_end, far) = duplex(BUFFER);
        let line = tokio::spawn(lines.clone().carry(near_end, far_end));
        lines.add(line.abort_handle());
        living.lines.add(line.abort_handle());
        let peer = serve::Peer { identity, ..serve::Peer::default() };
        tokio::spawn(serve::stream(far, peer, living.server.clone(), living.shutdown.clone()));
        Ok(near)
    }
}
