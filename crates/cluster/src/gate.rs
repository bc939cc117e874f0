//! Waiting until another process can be spoken to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::net::{TcpStream, UnixStream};

use crate::processes::Gate;

/// Neither side can tell the other that it is there, so it is asked for, at first often: the start of a cluster is
/// a chain of these.
const FIRST: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(100);

/// Returns when the gate is open.
pub async fn open(gate: &Gate) {
    let client = match gate {
        Gate::Api(kubeconfig) => client::connect(kubeconfig, "kctl").ok(),
        _ => None,
    };
    let mut pause = FIRST;
    while !is_open(gate, client.as_ref()).await {
        tokio::time::sleep(pause).await;
        pause = (pause + pause / 8).min(LATER);
    }
}

async fn is_open(gate: &Gate, client: Option<&kube::Client>) -> bool {
    match gate {
        Gate::Tcp(address) => TcpStream::connect(address).await.is_ok(),
        Gate::Socket(path) => UnixStream::connect(path).await.is_ok(),
        Gate::File(path) => path.exists(),
        Gate::Api(_) => {
            let request = http::Request::get("/readyz").body(vec![]);
            match (client, request) {
                (Some(client), Ok(request)) => client.request_text(request).await.is_ok(),
                _ => false,
            }
        }
    }
}

/// Gates that several processes wait for are asked for once.
#[derive(Clone, Default)]
pub struct Gates {
    waiting: Arc<Mutex<HashMap<Gate, Shared<BoxFuture<'static, ()>>>>>,
}

impl Gates {
    pub async fn open(&self, gate: &Gate) {
        let wait = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(gate.clone()).or_insert_with(|| Self::wait(gate.clone())).clone()
        };
        wait.await;
    }

    fn wait(gate: Gate) -> Shared<BoxFuture<'static, ()>> {
        async move { open(&gate).await }.boxed().shared()
    }
}
