//! A server in this process, on a port of its own, for whom everybody is an administrator. Below it lies the memory store, or
//! a real etcd.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use apiserver::{Config, Parts, random::Random};
use clap::Parser;
use component::{
    Identity, Shutdown, SystemClock,
    serve::{self, Peer},
};
use store::{
    Backend,
    etcd::{Etcd as Client, EtcdOptions},
    memory::Memory,
};
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
        Self::on(Arc::new(Memory::new())).await
    }

    pub async fn on(backend: Arc<dyn Backend>) -> Self {
        let parts = Parts { backend, clock: Arc::new(SystemClock), random: Arc::new(Random::seeded(1)) };
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

/// A real etcd on free ports and in a directory of its own, gone with the value.
pub struct Etcd {
    child: Child,
    directory: std::path::PathBuf,
    url: String,
}

impl Etcd {
    pub fn start() -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [client, peer] = [free(), free()].map(|port| format!("http://127.0.0.1:{port}"));
        let directory = std::env::temp_dir().join(format!("apiserver-kubectl-{}", std::process::id()));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(&directory)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed");
        Self { child, directory, url: client }
    }

    /// A connection to it, once it answers.
    pub async fn connect(&self) -> Arc<dyn Backend> {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..400 {
            tick.tick().await;
            let options = EtcdOptions { servers: vec![self.url.clone()], ..EtcdOptions::default() };
            let Ok(client) = Client::connect(&options).await else { continue };
            if client.revision().await.is_ok() {
                return Arc::new(client);
            }
        }
        panic!("etcd does not answer");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
