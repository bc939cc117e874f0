//! The scheduler's body: it watches pods and nodes, feeds the brain in `scheduling`, and carries out what that decides.
//!
//! One task owns the brain and is the only one that decides ([`scheduling_loop`]); bindings and reports run beside it.
//! Every decision is the brain's: here is only what touches the network, the clock and the metrics.

mod binding;
mod eviction;
mod extenders;
mod metrics;
mod report;
mod scheduling_loop;
mod sources;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Parser;
use client::{
    DelegatedAccess, Informers, Jitter, LeaderElector, Leadership, LeaseName, LeaseTimings, Recorder, Target,
};
use component::{
    Clock, Shutdown, SystemClock, config,
    health::Checks,
    logging::LogOptions,
    side_port::{self, SideOptions},
    tls, version,
};
use scheduling::{
    Configuration, Scheduler,
    config::{ACCEPTED, KubeSchedulerConfiguration},
    object::{Node, Pod},
};

use crate::{
    binding::Binder, eviction::Evictor, extenders::Extenders, report::Reporter, scheduling_loop::SchedulingLoop,
    sources::Sources,
};

/// Assigns pods to nodes.
#[derive(Clone, Debug, Parser)]
#[command(name = "kogge-scheduler", version)]
pub struct Options {
    /// KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1)
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How to reach the API server; overrides clientConnection.kubeconfig
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Be active only while holding the lease; overrides leaderElection.leaderElect
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_elect: Option<bool>,
    #[command(flatten)]
    pub side: SideOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

/// What [`run_with`] is given: in a simulation these are not the real ones.
pub struct Parts {
    pub client: kube::Client,
    pub clock: Arc<dyn Clock>,
    /// Of all choices made at random: ties between nodes, pauses before retries.
    pub seed: u64,
    /// Distinguishes this instance from others in leases and events.
    pub identity: String,
}

/// The scheduler as configured, until shutdown.
///
/// # Errors
/// When the configuration cannot be used or the side port cannot be opened.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    tls::install_provider();
    let mut file = match &options.config {
        Some(path) => config::load(path, ACCEPTED)?,
        None => KubeSchedulerConfiguration::default(),
    };
    file.leader_election.leader_elect = options.leader_elect.unwrap_or(file.leader_election.leader_elect);
    let named = Some(&file.client_connection.kubeconfig).filter(|path| !path.is_empty()).map(PathBuf::from);
    let kubeconfig = options.kubeconfig.clone().or(named).context("--kubeconfig is needed")?;
    let host = nix::unistd::gethostname().context("cannot read the host name")?;
    let clock = SystemClock;
    let parts = Parts {
        client: client::connect(&kubeconfig, &version::user_agent("kogge-scheduler"))?,
        seed: clock.now().as_nanosecond() as u64 ^ u64::from(std::process::id()),
        clock: Arc::new(clock),
        identity: format!("{}_{}:{}", host.to_string_lossy(), options.side.bind_address, options.side.secure_port),
    };
    let checks = Checks::new();
    let access = Arc::new(DelegatedAccess::new(parts.client.clone()));
    tokio::try_join!(
        run_with(parts, file, checks.clone(), shutdown.clone()),
        side_port::run(&options.side, checks.clone(), access, shutdown),
    )?;
    Ok(())
}

/// The scheduler over the given parts, until shutdown.
///
/// # Errors
/// When the configuration asks for what this scheduler does not have.
pub async fn run_with(
    parts: Parts,
    file: KubeSchedulerConfiguration,
    checks: Arc<Checks>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let scheduler = Scheduler::new(Configuration::from_file(&file).context("in the scheduler's configuration")?);
    let extenders = Extenders::new(parts.client.clone().into(), &file.extenders)?;
    component::metrics::init("kube-scheduler");
    let synced = checks.flag("informer-sync");

    let leadership = if file.leader_election.leader_elect {
        let election = &file.leader_election;
        let lease = LeaseName { namespace: election.resource_namespace.clone(), name: election.resource_name.clone() };
        let elector =
            LeaderElector::new(parts.client.clone(), lease, &parts.identity, parts.clock.clone()).timed(LeaseTimings {
                lease_duration: election.lease_duration,
                renew_deadline: election.renew_deadline,
                retry_period: election.retry_period,
            });
        let leadership = elector.leadership();
        tokio::spawn(elector.run(shutdown.clone()));
        leadership
    } else {
        Leadership::always()
    };

    let informers = Informers::new(parts.client.clone(), parts.seed, shutdown.clone());
    // Pods that have ended hold nothing; the server keeps them to itself.
    let running = Target::of::<Pod>().fields("status.phase!=Succeeded,status.phase!=Failed");
    let (pods, nodes) = (informers.store_of::<Pod>(running), informers.store::<Node>());
    let recorder = Recorder::new(
        parts.client.clone(),
        "default-scheduler",
        &parts.identity,
        parts.clock.clone(),
        shutdown.clone(),
    );
    let sources = Sources::start(&informers, &shutdown);
    let evictor = Evictor::new(parts.client.clone(), recorder.clone(), pods.clone(), parts.clock.clone());
    let reporter = Reporter::start(parts.client.clone(), recorder, pods.clone(), parts.clock.clone(), &shutdown);
    let work = SchedulingLoop {
        scheduler,
        pods,
        nodes,
        sources,
        evictor,
        binder: Binder::new(parts.client, extenders.clone()),
        extenders,
        reporter,
        leadership,
        clock: parts.clock,
        ties: Jitter::new(parts.seed),
        synced,
    };
    shutdown.or(work.run()).await;
    Ok(())
}
