//! The kubelet: runs the pods of one node.
//!
//! It watches the pods bound to its node and gives each a worker ([`pods`]) that lets
//! `pod_lifecycle` decide and carries the decisions out: through a container runtime ([`runtime`],
//! [`spec`], [`images`]), on disk ([`volumes`], [`logs`]), in cgroups, by probes and hooks. It reports
//! the pods' and the node's state ([`node`]) and nothing else; it never touches another node's objects.

pub mod bootstrap;
mod cgroups;
pub mod config;
pub mod context;
pub mod directory;
mod eviction;
mod folder;
mod hooks;
mod images;
mod images_gc;
mod logs;
mod metrics;
pub mod node;
mod note;
mod paths;
mod pods;
mod probes;
mod runtime;
mod server;
pub mod serving;
mod spec;
mod static_pods;
pub mod volumes;

use anyhow::Context as _;
use client::{Informers, Jitter, Recorder, Target};
use component::{Clock, Shutdown, SystemClock, health::Checks};
use config::Config;
use context::Context;
use cri::{Runtime, containerd::Containerd};
use node::machine::Machine;
use pod_lifecycle::{core::Node, dns};
use std::{path::Path, sync::Arc};
use tokio::sync::Semaphore;
use volumes::mounts::Mounts;

/// What a kubelet is built from: real parts in `run`, others in a simulation.
pub struct Parts {
    pub client: kube::Client,
    pub runtime: Arc<dyn Runtime>,
    pub clock: Arc<dyn Clock>,
    pub machine: Machine,
    pub mounts: Mounts,
    /// Whether to make cgroups; a fake runtime has none.
    pub cgroups: bool,
    /// Whether to serve the kubelet's own port.
    pub serve: bool,
    pub seed: u64,
}

/// Runs with the real parts until shutdown.
pub async fn run(mut config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    component::tls::install_provider();
    component::metrics::init("kubelet");
    anyhow::ensure!(
        !config.file.fail_swap_on || !node::machine::has_swap(),
        "swap is on, and failSwapOn says that it must not be"
    );
    let socket = config.file.container_runtime_endpoint.trim_start_matches("unix://").to_owned();
    let runtime: Arc<dyn Runtime> = Arc::new(Containerd::new(Path::new(&socket)));
    let mut machine = Machine::read(&config)?;
    machine.info.container_runtime_version = runtime_version(&*runtime, &shutdown).await?;
    serving::ensure_certificate(&mut config, &machine.addresses)?;
    let kubeconfig = bootstrap::ensure_kubeconfig(&config, &shutdown).await?;
    let client = client::connect(&kubeconfig, &component::version::user_agent("kubelet"))?;
    let rotation = bootstrap::rotate(config.clone(), machine.addresses.clone(), client.clone());
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), &config.node_name);
    let parts = Parts {
        client,
        runtime,
        clock: Arc::new(SystemClock),
        machine,
        mounts: Mounts::Kernel,
        cgroups: true,
        serve: true,
        seed,
    };
    let rotating = tokio::spawn(shutdown.child().token().clone().run_until_cancelled_owned(rotation));
    let outcome = run_with(parts, config, shutdown).await;
    rotating.abort();
    outcome
}

/// The runtime may be starting, too.
async fn runtime_version(runtime: &dyn Runtime, shutdown: &Shutdown) -> anyhow::Result<String> {
    let mut backoff = client::Backoff::new(std::time::Duration::from_millis(50), std::time::Duration::from_secs(5));
    let jitter = Jitter::new(0);
    let asking = async {
        loop {
            match runtime.version().await {
                Ok(version) => return version.node_info(),
                Err(error) => tracing::info!(%error, "waiting for the container runtime"),
            }
            tokio::time::sleep(backoff.next(&jitter)).await;
        }
    };
    shutdown.or(asking).await.context("stopped while waiting for the container runtime")
}

/// Runs with the given parts until shutdown. Containers outlive it.
pub async fn run_with(parts: Parts, config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let Parts { client, runtime, clock, machine, mounts, cgroups, serve, seed } = parts;
    let informers = Informers::new(client.clone(), seed, shutdown.clone());
    let recorder = Recorder::new(client.clone(), "kubelet", &config.node_name, clock.clone(), shutdown.clone());
    let own_name = format!("metadata.name={}", config.node_name);
    let host_ips: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
    let parallel_pulls =
        if config.file.serialize_image_pulls { 1 } else { config.file.max_parallel_image_pulls.unwrap_or(8) };
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime_name = machine.info.container_runtime_version.split("://").next().unwrap_or_default().to_owned();
    let thresholds = eviction::settings(&config.file)?;
    let context = Arc::new(Context {
        paths: paths::Paths { root: config.root_dir.clone(), logs: config.file.pod_logs_dir.clone() },
        cluster_dns: dns::Cluster {
            servers: config.file.cluster_dns.clone(),
            domain: config.file.cluster_domain.clone(),
        },
        services: informers.store(),
        node: informers.store_of(Target::of::<Node>().fields(&own_name)),
        directory: directory::Directory::default(),
        pressure: eviction::Pressure::default(),
        images: images::Images::new(parallel_pulls),
        tokens: volumes::tokens::Tokens::default(),
        cgroups: (cgroups && config.file.cgroups_per_qos).then(|| cgroups::Cgroups::open(&config.file)).transpose()?,
        sandboxes: Semaphore::new(processors * 3),
        jitter: Jitter::new(seed),
        api: client.clone().into(),
        config,
        machine,
        host_ips,
        runtime,
        runtime_name,
        clock,
        informers,
        recorder,
        mounts,
        shutdown: shutdown.clone(),
    });
    std::fs::create_dir_all(context.paths.pods())
        .with_context(|| format!("cannot make {}", context.paths.pods().display()))?;
    metrics::init(&context.config.node_name, &context);
    let checks = Checks::new();
    let synced = checks.flag("pods-synced");
    let pods = pods::Pods::new(context.clone());
    // What the node runs by itself does not wait for the API server.
    let local = async {
        tokio::join!(
            static_pods::run(pods.clone()),
            runtime::feed::run(context.clone(), pods.clone()),
            logs::run(context.clone()),
            images_gc::run(context.clone()),
            eviction::run(context.clone(), pods.clone(), thresholds),
        )
    };
    let known_to_api = async {
        if context.config.file.register_node {
            node::registration::register(&context).await;
        }
        context.event(note::node(&context.config.node_name), "Starting", "Starting kubelet.");
        tokio::join!(
            pods::run_source(pods.clone(), synced),
            static_pods::mirrors::run(pods.clone()),
            node::lease::run(context.clone()),
            node::status::run(context.clone()),
        )
    };
    let work = async { tokio::join!(local, known_to_api) };
    let port = async {
        if serve {
            server::run(&context, &client, checks.clone()).await
        } else {
            shutdown.cancelled().await;
            Ok(())
        }
    };
    tokio::select! {
        outcome = port => outcome.context("the kubelet's port"),
        _ = work => Ok(()),
        () = shutdown.cancelled() => Ok(()),
    }
}
