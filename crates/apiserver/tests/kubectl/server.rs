//! A server in this process with the memory store below, on a port of its own, for whom everybody is an administrator.

use std::sync::Arc;

use apiserver::{Config, Parts, random::Random};
use clap::Parser;
use component::{
    Identity, Shutdown, SystemClock,
    serve::{self, Peer},
};
use store::memory::Memory;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

pub struct Server {
    pub url: String,
    shutdown: Shutdown,
}

impl Server {
    pub async fn start() -> Self {
        let parts = Parts {
            backend: Arc::new(Memory::new()),
            clock: Arc::new(SystemClock),
            random: Arc::new(Random::seeded(1)),
        };
        let config = Flags::parse_from(["kogge-apiserver", "--advertise-address", "192.0.2.7"]).config;
        let shutdown = Shutdown::new();
        let running = apiserver::run_with(parts, config, shutdown.clone()).await.unwrap();
        while running.checks.answer("/readyz", None).is_none_or(|answer| answer.status() != 200) {
            tokio::task::yield_now().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = shutdown.clone();
        tokio::spawn(async move {
            while let Some(Ok((tcp, _))) = stop.or(listener.accept()).await {
                let identity =
                    Identity { user: "admin".into(), groups: vec!["system:masters".into()], ..Identity::default() };
                let peer = Peer { identity: Some(identity), ..Peer::default() };
                tokio::spawn(serve::stream(tcp, peer, running.server.clone(), stop.clone()));
            }
        });
        Self { url, shutdown }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}
