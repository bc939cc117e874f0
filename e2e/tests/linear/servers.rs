//! An etcd and two API servers on it, on free ports of the loopback, that can be killed, started again and paused.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use e2e::{bench::load::Target, built};
use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Etcd,
    Api(usize),
}

pub struct Servers {
    dir: PathBuf,
    etcd_ports: [u16; 2],
    api_ports: [u16; 2],
    etcd: Option<Child>,
    apis: [Option<Child>; 2],
}

impl Servers {
    pub async fn start(dir: PathBuf) -> anyhow::Result<Self> {
        let mut servers = Self {
            etcd_ports: [free_port()?, free_port()?],
            api_ports: [free_port()?, free_port()?],
            etcd: None,
            apis: [None, None],
            dir,
        };
        crate::pki::write(&servers.dir)?;
        for which in [Which::Etcd, Which::Api(0), Which::Api(1)] {
            servers.begin(which)?;
        }
        servers.ready().await?;
        Ok(servers)
    }

    pub fn target(&self, server: usize) -> anyhow::Result<Target> {
        Target::new(self.api_ports[server], &self.dir, "admin")
    }

    /// Starts it, if it does not run.
    pub fn begin(&mut self, which: Which) -> anyhow::Result<()> {
        let (mut command, name) = match which {
            Which::Etcd => (self.etcd_command(), "etcd".to_owned()),
            Which::Api(n) => (self.api_command(n)?, format!("apiserver-{n}")),
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join(name + ".log"))?;
        let slot = self.slot(which);
        if slot.is_none() {
            *slot = Some(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        }
        Ok(())
    }

    pub fn kill(&mut self, which: Which) -> anyhow::Result<()> {
        if let Some(mut child) = self.slot(which).take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self, which: Which, signal: Signal) -> anyhow::Result<()> {
        self.signal(which, signal)?;
        let Some(mut child) = self.slot(which).take() else { return Ok(()) };
        let limit = Instant::now() + Duration::from_secs(30);
        while child.try_wait()?.is_none() {
            if Instant::now() > limit {
                child.kill()?;
                child.wait()?;
                bail!("{which:?} does not end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub fn signal(&mut self, which: Which, signal: Signal) -> anyhow::Result<()> {
        let Some(child) = self.slot(which) else { return Ok(()) };
        Ok(kill(Pid::from_raw(child.id().cast_signed()), signal)?)
    }

    /// Until both servers are ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        for server in 0..self.apis.len() {
            let target = self.target(server)?;
            let limit = Instant::now() + Duration::from_secs(60);
            loop {
                let ready = async {
                    let mut connection = target.connect().await?;
                    connection.round(Method::GET, "/readyz", "application/json", Bytes::new()).await
                };
                match ready.await {
                    Ok(_) => break,
                    Err(why) if Instant::now() > limit => bail!("server {server} does not become ready: {why:#}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
        Ok(())
    }

    fn slot(&mut self, which: Which) -> &mut Option<Child> {
        match which {
            Which::Etcd => &mut self.etcd,
            Which::Api(n) => &mut self.apis[n],
        }
    }

    fn etcd_command(&self) -> Command {
        let [client, peer] = self.etcd_ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.dir.join("etcd"));
        command.args(["--log-level", "error", "--logger", "zap", "--initial-cluster", &format!("default={peer}")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command
    }

    fn api_command(&self, server: usize) -> anyhow::Result<Command> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new(built::binary("kogge-apiserver")?);
        command.args(["--etcd-servers", &format!("http://127.0.0.1:{}", self.etcd_ports[0])]);
        command.args(["--bind-address", "127.0.0.1", "--secure-port", &self.api_ports[server].to_string()]);
        command.args(["--advertise-address", &format!("192.0.2.{}", server + 1)]);
        command.args(["--tls-cert-file", &file("apiserver.crt"), "--tls-private-key-file", &file("apiserver.key")]);
        command.args(["--client-ca-file", &file("ca.crt"), "--service-account-signing-key-file", &file("sa.key")]);
        Ok(command)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for which in [Which::Api(0), Which::Api(1), Which::Etcd] {
            // What is stopped is killed all the same.
            self.kill(which).ok();
        }
        fs::remove_dir_all(&self.dir).ok();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port())
}

/// A folder of its own.
pub fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("kogge-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(Path::new(&dir).to_owned())
}
