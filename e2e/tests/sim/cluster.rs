//! A cluster of two nodes whose parts can be stopped at any moment and started again on what they left.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use component::{Clock, Shutdown, TokioClock, health::Checks};
use cri::fake::{Fake, Life};
use futures::future::{BoxFuture, ready};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use kubelet::{config::Flags, node::machine::Machine, volumes::mounts::Mounts};
use serde_json::{Value, json};
use store::memory::Memory;
use tokio::task::JoinHandle;

use crate::{
    rules::Rules,
    wire::{Lines, Switchboard},
};

pub const IMAGE: &str = "docker.io/library/web:latest";
/// What can be restarted.
pub const BODIES: [&str; 6] = ["apiserver", "controller-manager", "scheduler", "proxy", "node-1", "node-2"];
/// Second ones of the bodies that elect a leader, which do not ask who it is.
pub const USURPERS: [&str; 2] = ["controller-manager usurper", "scheduler usurper"];
/// The simulation begins at this moment, in the middle of a minute.
const EPOCH: &str = "2026-01-01T00:00:30Z";

pub struct Cluster {
    seed: u64,
    /// Of any body: a process that starts again does not draw the numbers it drew before.
    launches: u64,
    parts: Part,
    clock: TokioClock,
    store: Memory,
    board: Switchboard,
    bodies: Vec<Running>,
    runtimes: Vec<(String, Fake)>,
    dir: PathBuf,
    pub admin: Admin,
    /// What the proxy of the first node has sent to its kernel.
    pub rules: Rules,
}

/// Which bodies a cluster has, and which of its controllers run.
#[derive(Clone, Copy)]
pub struct Part {
    pub bodies: &'static [&'static str],
    pub controllers: &'static str,
}

const WHOLE: Part = Part { bodies: &BODIES, controllers: "*" };

/// A body that runs.
struct Running {
    name: String,
    shutdown: Shutdown,
    lines: Lines,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

/// The administrator's way in.
#[derive(Clone)]
pub struct Admin(kube::Client);

impl Cluster {
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        Self::start_part(seed, WHOLE).await
    }

    pub async fn start_part(seed: u64, parts: Part) -> anyhow::Result<Self> {
        component::tls::install_provider();
        // Several tests of one process may run the same seed.
        static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("kogge-sim-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(dir.join("sa.key"), key.serialize_pem())?;
        let clock = TokioClock::starting_at(EPOCH.parse().context("the epoch")?);
        let board = Switchboard::default();
        let admin = Admin(board.connector("admin", &["system:masters"], &Lines::default())?.client());
        let now = move || clock.now();
        let runtimes = [("node-1", Ipv4Addr::new(10, 244, 0, 1)), ("node-2", Ipv4Addr::new(10, 244, 1, 1))]
            .map(|(name, first)| (name.to_owned(), Fake::new(first, now)));
        for (_, runtime) in &runtimes {
            runtime.add_image(IMAGE);
        }
        let mut cluster = Self {
            seed,
            launches: 0,
            parts,
            clock,
            store: Memory::new(),
            board,
            bodies: vec![],
            runtimes: runtimes.into(),
            dir,
            admin,
            rules: Rules::default(),
        };
        for body in parts.bodies {
            cluster.launch(body).await?;
        }
        Ok(cluster)
    }

    /// Stops a body where it stands, connections and all, and starts it again after `pause`.
    pub async fn restart(&mut self, body: &str, pause: Duration) -> anyhow::Result<()> {
        self.kill(body).await;
        tokio::time::sleep(pause).await;
        self.launch(body).await
    }

    /// Ends a body's connections, whatever is under way on them; it makes new ones.
    pub fn cut(&self, body: &str) {
        self.lines(body).iter().for_each(Lines::cut);
    }

    /// For `span` a body hears nothing: what it knows grows old, and what it writes is not confirmed.
    pub fn deafen(&self, body: &str, span: Duration) {
        for lines in self.lines(body) {
            lines.hold(true);
            tokio::spawn(async move {
                tokio::time::sleep(span).await;
                lines.hold(false);
            });
        }
    }

    /// Stops a body in the middle of its writes, after so many more things that it sends, and starts it again.
    pub async fn restart_amid_writes(&mut self, body: &str, sent: u64, last_arrives: bool) -> anyhow::Result<()> {
        for lines in self.lines(body) {
            lines.light_fuse(sent, last_arrives);
            // It may have nothing to write.
            tokio::time::timeout(Duration::from_secs(3), lines.blown()).await.ok();
        }
        self.restart(body, Duration::ZERO).await
    }

    /// Starts a second one of a body that takes itself for the leader, whoever holds the lease: as one does that was
    /// paused and has not noticed yet that its lease has gone to another.
    pub async fn usurp(&mut self, usurper: &str) -> anyhow::Result<()> {
        self.depose(usurper).await;
        self.launch(usurper).await
    }

    pub async fn depose(&mut self, usurper: &str) {
        self.kill(usurper).await;
    }

    /// Whoever holds this token.
    pub fn holder(&self, token: &str) -> anyhow::Result<Admin> {
        let connector = self.board.connector("nobody", &[], &Lines::default())?;
        Ok(Admin(connector.client_with_token(Arc::new(Fixed(token.into())))))
    }

    fn lines(&self, body: &str) -> Vec<Lines> {
        self.bodies.iter().filter(|running| running.name == body).map(|running| running.lines.clone()).collect()
    }

    pub fn clock(&self) -> TokioClock {
        self.clock
    }

    pub async fn stop(&mut self) {
        for usurper in USURPERS {
            self.depose(usurper).await;
        }
        for body in self.parts.bodies.iter().rev() {
            self.kill(body).await;
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }

    /// Decides what containers do once they are started, on whatever node.
    pub fn containers(&self, life: impl Fn(&cri::v1::ContainerConfig) -> Life + Send + Sync + 'static) {
        let life = Arc::new(life);
        for (_, runtime) in &self.runtimes {
            let life = life.clone();
            runtime.on_start(move |config| life(config));
        }
    }

    /// The ids of all containers that run on any node.
    pub fn containers_running(&self) -> BTreeSet<String> {
        self.runtimes.iter().flat_map(|(_, runtime)| runtime.running().into_keys()).collect()
    }

    async fn kill(&mut self, name: &str) {
        let Some(at) = self.bodies.iter().position(|b| b.name == name) else { return };
        let body = self.bodies.remove(at);
        if name == "apiserver" {
            self.board.disconnect();
        }
        body.lines.cut();
        body.shutdown.begin();
        if let Some(task) = body.task {
            let aborted = task.abort_handle();
            if tokio::time::timeout(Duration::from_secs(5), task).await.is_err() {
                aborted.abort();
            }
        }
    }

    async fn launch(&mut self, name: &str) -> anyhow::Result<()> {
        self.launches += 1;
        let (shutdown, lines) = (Shutdown::new(), Lines::default());
        let clock: Arc<dyn Clock> = Arc::new(self.clock);
        let task = match name {
            "apiserver" => {
                self.launch_apiserver(shutdown.clone()).await?;
                None
            }
            "controller-manager" | "controller-manager usurper" => {
                let connector = self.board.connector("system:kube-controller-manager", &[], &lines)?;
                Some(self.launch_controllers(name, connector, clock, shutdown.clone())?)
            }
            "scheduler" | "scheduler usurper" => {
                let client = self.board.connector("system:kube-scheduler", &[], &lines)?.client();
                Some(self.launch_scheduler(name, client, clock, shutdown.clone()))
            }
            "proxy" => {
                let client = self.board.connector("system:kube-proxy", &[], &lines)?.client();
                let kernel = Arc::new(self.rules.begin());
                let parts =
                    proxy::Parts { client, clock: clock.clone(), kernel, seed: self.seed, node_name: "node-1".into() };
                let health = proxy::health::Health::new(clock);
                let file = proxy::config::KubeProxyConfiguration::default();
                Some(tokio::spawn(proxy::run_with(parts, file, "kogge-proxy".into(), health, shutdown.clone())))
            }
            node => Some(self.launch_kubelet(node, &lines, clock, shutdown.clone())?),
        };
        self.bodies.push(Running { name: name.to_owned(), shutdown, lines, task });
        Ok(())
    }

    fn launch_controllers(
        &self,
        name: &str,
        connector: client::Connector,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let parts = controller_manager::Parts {
            connector,
            clock,
            identity: format!("{name}-{}", self.seed),
            root_ca: Some("the authority".into()),
            signer: None,
        };
        let key = self.dir.join("sa.key").display().to_string();
        let flags = [
            "x",
            "--kubeconfig",
            "none",
            "--service-account-private-key-file",
            &key,
            "--allocate-node-cidrs",
            "true",
            "--cluster-cidr",
            "10.244.0.0/16",
            "--controllers",
            self.parts.controllers,
            "--leader-elect",
            if USURPERS.contains(&name) { "false" } else { "true" },
        ];
        let options = controller_manager::Options::try_parse_from(flags)?;
        Ok(tokio::spawn(controller_manager::run_with(parts, options, shutdown)))
    }

    fn launch_scheduler(
        &self,
        name: &str,
        client: kube::Client,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> JoinHandle<anyhow::Result<()>> {
        let parts = scheduler::Parts { client, clock, seed: self.seed, identity: format!("{name}-{}", self.seed) };
        let mut file = scheduling::config::KubeSchedulerConfiguration::default();
        file.leader_election.leader_elect = !USURPERS.contains(&name);
        tokio::spawn(scheduler::run_with(parts, file, Checks::new(), shutdown))
    }

    async fn launch_apiserver(&self, shutdown: Shutdown) -> anyhow::Result<()> {
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            config: apiserver::Config,
        }
        let key = self.dir.join("sa.key").display().to_string();
        let flags = ["x", "--service-account-signing-key-file", &key, "--advertise-address", "10.0.0.1"];
        let parts = apiserver::Parts {
            backend: Arc::new(self.store.clone()),
            clock: Arc::new(self.clock),
            random: Arc::new(apiserver::random::Random::seeded(self.seed ^ (self.launches << 32))),
        };
        let running = apiserver::run_with(parts, Flags::try_parse_from(flags)?.config, shutdown.clone()).await?;
        self.board.connect(running.server, shutdown);
        Ok(())
    }

    fn launch_kubelet(
        &self,
        node: &str,
        lines: &Lines,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let root = self.dir.join(node);
        let root_text = root.display().to_string();
        let flags = Flags::try_parse_from(["x", "--hostname-override", node, "--root-dir", &root_text])?;
        let mut config = kubelet::config::Config::load(&flags)?;
        config.file.pod_logs_dir = root.join("logs");
        let number = BODIES.iter().position(|b| *b == node).unwrap_or_default() as u8;
        let addresses = vec![Ipv4Addr::new(10, 0, 0, 10 + number).into()];
        let info = pod_lifecycle::core::NodeSystemInfo {
            container_runtime_version: "fake://1.0".into(),
            kubelet_version: component::version::GIT_VERSION.into(),
            ..Default::default()
        };
        let machine = Machine::with(&config, 4000, 8 << 30, 100 << 30, info, addresses)?;
        let runtime = self.runtimes.iter().find(|(name, _)| name == node).context("no such node")?.1.clone();
        let parts = kubelet::Parts {
            client: self.board.connector(&format!("system:node:{node}"), &["system:nodes"], lines)?.client(),
            runtime: Arc::new(runtime),
            clock,
            machine,
            mounts: Mounts::Off,
            cgroups: false,
            serve: false,
            seed: self.seed,
        };
        Ok(tokio::spawn(kubelet::run_with(parts, config, shutdown)))
    }
}

struct Fixed(Arc<str>);

impl client::TokenSource for Fixed {
    fn token(&self) -> BoxFuture<'_, anyhow::Result<Arc<str>>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Left behind only when a run failed half way.
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

impl Admin {
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, vec![]).await
    }

    /// A merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, serde_json::to_vec(patch)?).await
    }

    pub async fn delete(&self, path: &str, grace_seconds: Option<u32>) -> anyhow::Result<Value> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace_seconds});
        self.send(Method::DELETE, path, serde_json::to_vec(&options)?).await
    }

    /// Tries once.
    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, serde_json::to_vec(object)?).await
    }

    /// Tries until the API server is there to take it.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let created = async {
            loop {
                match self.send(Method::POST, path, serde_json::to_vec(object)?).await {
                    Ok(answer) => return anyhow::Ok(answer),
                    Err(error) => {
                        if error.to_string().contains("AlreadyExists") {
                            return Ok(object.clone());
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), created).await.context("the object could not be created")?
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let form = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, form).body(Body::from(body))?;
        let answer = self.0.send(request).await?;
        let code = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(code.is_success(), "{code}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}
