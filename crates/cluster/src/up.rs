//! Bringing a cluster up, or finding that it is: from nothing, after a crash, after the supervisor's death, or again.
//!
//! Everything that can happen at once does. The supervisor starts the processes as soon as what each truly needs is
//! there; meanwhile images are imported, and what the API server needs is applied as soon as it answers.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::TryStreamExt;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::layout::{Layout, RUN_ROOT};
use crate::lock::Lock;
use crate::options::{DEFAULT_DIR, Options, Spec, node_names};
use crate::processes::{Gate, IMAGES_PORT, processes};
use crate::progress::Progress;
use crate::record::Record;
use crate::{addons, bootstrap, cgroups, dns_probe, gate, images, machine, network, spawn, status, supervisor, sysctl};

/// The longest that a step may take on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// A process that has ended so often while it was waited for will not come up.
const FAILURES: u32 = 4;
const API_PAUSE: Duration = Duration::from_millis(5);

/// What a person needs to know about the cluster that is up.
#[derive(Clone, Debug)]
pub struct Summary {
    pub kubeconfig: PathBuf,
    pub nodes: Vec<String>,
    /// Nothing had to be started.
    pub was_up: bool,
    pub took: Duration,
}

/// Whose the network namespace is: `owner.json` of a running cluster.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    dir: PathBuf,
    network_namespace: u64,
}

/// Brings the cluster up and returns when its nodes are Ready and its DNS answers.
pub async fn up(options: &Options, progress: &dyn Progress) -> anyhow::Result<Summary> {
    let begun = Instant::now();
    machine::require_root()?;
    let dir = if options.dir.as_os_str().is_empty() { Path::new(DEFAULT_DIR) } else { &options.dir };
    let layout = Layout::new(&std::path::absolute(dir)?);
    let _lock = Lock::acquire(&layout.lock()).context("another command works on the cluster")?;
    let before = running(&layout).await;
    let spec = choose(options, status::load_spec(&layout)?)?;
    let programs = machine::programs()?;
    machine::require_own(&spec.bin_dir)?;
    refuse_second(&layout)?;
    if Record::of_running(&layout, "apiserver").is_none() {
        machine::require_ports(&[spec.api_port])?;
    }

    let files = Step::begin(progress, "certificates and configuration");
    let archives = images::find(options.images.as_deref(), &spec.bin_dir)?;
    crate::pki::write(&layout.spec(), &serde_json::to_string_pretty(&spec)?, 0o644)?;
    let made = bootstrap::write(&layout, &spec)?;
    images::install(&layout, &archives)?;
    files.end(&match made {
        0 => "unchanged".to_owned(),
        made => format!("{made} certificates made"),
    });

    let nodes = Step::begin(progress, "network and cgroups");
    claim(&layout)?;
    sysctl::set(&layout, &[("net.ipv4.ip_forward", "1")])?;
    network::ensure(&layout, &spec).await?;
    for node in &spec.nodes {
        cgroups::create(&layout.cgroup(node))?;
    }
    nodes.end(&format!("{} node{}", spec.nodes.len(), if spec.nodes.len() == 1 { "" } else { "s" }));

    component::tls::install_provider();
    let launched = Instant::now();
    let wanted = processes(&layout, &spec, &programs);
    supervisor::want(&layout, &spec.bin_dir.join("kctl"), wanted).await?;
    let work = Work { layout: &layout, spec: &spec, progress, launched };
    tokio::select! {
        done = work.run(options.no_wait) => done?,
        broken = work.broken_process() => return Err(broken),
    }
    let was_up = before.is_some() && before == running(&layout).await;
    Ok(Summary { kubeconfig: layout.admin_kubeconfig(), nodes: spec.nodes.clone(), was_up, took: begun.elapsed() })
}

/// The processes that run, if all do that should.
async fn running(layout: &Layout) -> Option<Vec<status::ProcessState>> {
    let status = status::status(layout.dir()).await.ok().filter(status::Status::is_whole)?;
    let nodes = status.nodes.into_iter().flat_map(|node| node.processes);
    Some(status.control_plane.into_iter().chain(nodes).map(|process| process.state).collect())
}

/// The options over what was chosen before.
fn choose(options: &Options, before: Option<Spec>) -> anyhow::Result<Spec> {
    let bin_dir = match &options.bin_dir {
        Some(chosen) => std::path::absolute(chosen)?,
        None => std::env::current_exe()?.parent().context("this program has no directory")?.to_owned(),
    };
    let mut spec = before.unwrap_or_else(|| Spec::new(bin_dir.clone(), 1));
    spec.bin_dir = bin_dir;
    if let Some(count) = options.nodes {
        if !(1..=200).contains(&count) {
            bail!("a cluster on one machine has 1 to 200 nodes, not {count}");
        }
        if count < spec.nodes.len() {
            bail!("the cluster has {} nodes already: `kctl cluster down --purge` first", spec.nodes.len());
        }
        spec.nodes = node_names(count);
    }
    Ok(spec)
}

/// Two clusters in one network namespace would take each other's ports, routes and rules.
fn refuse_second(layout: &Layout) -> anyhow::Result<()> {
    let here = spawn::network_namespace()?;
    for entry in std::fs::read_dir(RUN_ROOT).into_iter().flatten().flatten() {
        if entry.file_name().to_str() == Some(layout.id()) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(entry.path().join("owner.json")) else { continue };
        let Ok(owner) = serde_json::from_str::<Owner>(&text) else { continue };
        if owner.network_namespace == here {
            bail!(
                "a cluster runs on this machine already, with its state in {dir}: take it down first \
                 (`kctl cluster down --dir {dir}`)",
                dir = owner.dir.display()
            );
        }
    }
    Ok(())
}

fn claim(layout: &Layout) -> anyhow::Result<()> {
    let owner = Owner { dir: layout.dir().to_owned(), network_namespace: spawn::network_namespace()? };
    crate::pki::write(&layout.owner(), &serde_json::to_string(&owner)?, 0o644)
}

/// What `up` does while the processes start.
struct Work<'a> {
    layout: &'a Layout,
    spec: &'a Spec,
    progress: &'a dyn Progress,
    /// What these steps wait for happens at once, so all of them count from here.
    launched: Instant,
}

impl Work<'_> {
    async fn run(&self, no_wait: bool) -> anyhow::Result<()> {
        let client = client::connect(&self.layout.admin_kubeconfig(), "kctl")?;
        // The nodes that do not have the cluster's own images yet.
        let (without, mut images) = watch::channel(self.spec.nodes.len());
        let own_there = || without.send_modify(|nodes| *nodes = nodes.saturating_sub(1));
        let import = self.step("images", self.import_images(&own_there));
        let api = async {
            self.step("etcd", async {
                gate::open(&Gate::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 2379)))).await;
                Ok("serves".to_owned())
            })
            .await?;
            self.step("apiserver", async {
                gate::open(&Gate::Api(self.layout.admin_kubeconfig())).await;
                Ok("ready".to_owned())
            })
            .await?;
            let nodes = async {
                if no_wait {
                    return Ok(());
                }
                try_join_all(self.spec.nodes.iter().map(|node| {
                    let ready = node_ready(client.clone(), node.clone());
                    self.step(node, ready)
                }))
                .await
                .map(|_| ())
            };
            let dns = async {
                addons::apply_access(&client).await?;
                // Its image is on every node before its pod can be on any.
                images.wait_for(|without| *without == 0).await?;
                addons::apply_dns(&client, self.spec.dns_address, &self.spec.domain).await?;
                if no_wait {
                    return Ok(());
                }
                let name = format!("kubernetes.default.svc.{}", self.spec.domain);
                self.step("DNS", async {
                    dns_probe::answered(self.spec.dns_address, &name).await;
                    Ok(format!("answers at {}", self.spec.dns_address))
                })
                .await
            };
            tokio::try_join!(nodes, dns).map(|_| ())
        };
        tokio::try_join!(import, api).map(|_: ((), ())| ())
    }

    async fn import_images(&self, own_there: &impl Fn()) -> anyhow::Result<String> {
        let nodes = self.spec.nodes.iter().map(|node| images::import(self.layout, node, own_there));
        let count: usize = try_join_all(nodes).await?.into_iter().sum();
        gate::open(&Gate::Tcp(SocketAddr::from((self.host(), IMAGES_PORT)))).await;
        Ok(if count == 0 { "present".to_owned() } else { format!("{count} imported") })
    }

    fn host(&self) -> Ipv4Addr {
        self.spec.nodes.first().map_or(Ipv4Addr::LOCALHOST, |node| self.spec.address(node))
    }

    /// Tells of a step, bounds its time, and says where to look when it fails.
    async fn step(&self, name: &str, work: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
        let step = Step { begun: self.launched, ..Step::begin(self.progress, name) };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(detail)) => {
                step.end(&detail);
                Ok(())
            }
            Ok(Err(error)) => Err(error.context(format!("{name} failed"))),
            Err(_) => bail!(
                "{name}: nothing after {} s; the logs are in {}",
                PATIENCE.as_secs(),
                self.layout.logs().display()
            ),
        }
    }

    /// Ends when a process cannot be kept running, with the last it has said.
    async fn broken_process(&self) -> anyhow::Error {
        let wanted = status::wanted(self.layout).processes;
        let restarts = |name: &str| Record::load(self.layout, name).map_or(0, |record| record.restarts);
        let before: Vec<u32> = wanted.iter().map(|process| restarts(&process.name)).collect();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mut pairs = wanted.iter().zip(&before);
            let broken = pairs.find(|(process, before)| restarts(&process.name) >= **before + FAILURES);
            if let Some((process, _)) = broken {
                let log = std::fs::read_to_string(&process.log).unwrap_or_default();
                let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
                return anyhow::anyhow!(
                    "{} keeps failing; it says (in {}): {last}",
                    process.name,
                    process.log.display()
                );
            }
        }
    }
}

struct Step<'a> {
    progress: &'a dyn Progress,
    name: String,
    begun: Instant,
}

impl<'a> Step<'a> {
    fn begin(progress: &'a dyn Progress, name: &str) -> Self {
        progress.begin(name);
        Self { progress, name: name.to_owned(), begun: Instant::now() }
    }

    fn end(self, detail: &str) {
        self.progress.end(&self.name, self.begun.elapsed(), detail);
    }
}

/// Returns when the node is Ready.
pub async fn node_ready(client: kube::Client, name: String) -> anyhow::Result<String> {
    let nodes: kube::Api<Node> = kube::Api::all(client);
    let mut changes = std::pin::pin!(watcher::watch_object(nodes, &name));
    loop {
        match changes.try_next().await {
            Ok(Some(Some(node))) if is_ready(&node) => return Ok("Ready".to_owned()),
            Ok(Some(_)) => {}
            Ok(None) => bail!("the watch has ended"),
            Err(watcher::Error::InitialListFailed(_) | watcher::Error::WatchFailed(_)) => {
                tokio::time::sleep(API_PAUSE).await;
            }
            Err(error) => tracing::debug!(%error, "watching {name}"),
        }
    }
}

pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
