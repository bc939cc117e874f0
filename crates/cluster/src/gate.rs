//! Waiting until another process can be spoken to.

use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use crate::processes::Gate;

/// Neither side can tell the other that it is there, so it is asked for, at first often: the start of a cluster is
/// a chain of these.
const FIRST: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(100);

/// Returns when the gate is open.
pub async fn open(gate: &Gate) {
    let mut pause = FIRST;
    while !is_open(gate).await {
        tokio::time::sleep(pause).await;
        pause = (pause + pause / 8).min(LATER);
    }
}

async fn is_open(gate: &Gate) -> bool {
    match gate {
        Gate::Tcp(address) => TcpStream::connect(address).await.is_ok(),
        Gate::Socket(path) => UnixStream::connect(path).await.is_ok(),
        Gate::File(path) => path.exists(),
    }
}
