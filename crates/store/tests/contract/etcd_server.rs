//! A real etcd on free ports and in a directory of its own, gone with the value.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use store::Backend;

pub struct Server {
    child: Child,
    directory: PathBuf,
    pub url: String,
}

pub fn start() -> Server {
    let [client, peer] = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
    let directory = std::env::temp_dir().join(format!("store-contract-{}", std::process::id()));
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
    Server { child, directory, url: client }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub async fn await_ready(&self, backend: &dyn Backend) {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..400 {
            tick.tick().await;
            if backend.revision().await.is_ok() {
                return;
            }
        }
        panic!("etcd does not answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
