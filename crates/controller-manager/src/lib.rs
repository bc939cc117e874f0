//! The body of the controllers: watches, asks the brains in `controllers` what to do, and does it.
//!
//! Caches are filled with the process's own credential; each controller writes with the token of its own service
//! account in `kube-system`, and so has only the rights that its role gives it. One of several instances acts, elected
//! by a Lease; the others keep their caches warm.

mod controllers;
mod identities;
mod kit;
mod options;

use std::sync::Arc;

use anyhow::Context as _;
use client::{Connector, DelegatedAccess, Informers, LeaderElector, Leadership, LeaseName};
use component::{Clock, Shutdown, SystemClock, health::Checks, metrics, side_port};

pub use options::Options;

const NAME: &str = "kube-controller-manager";

/// What a simulation puts in the place of the real thing.
pub struct Parts {
    pub connector: Connector,
    pub clock: Arc<dyn Clock>,
    /// This instance's name in the election; also spreads its retries.
    pub identity: String,
    /// The authority whose certificate namespaces are told of.
    pub root_ca: Option<String>,
    pub signer: Option<Arc<controllers::Signer>>,
}

pub use controllers::Signer;

/// Runs until shutdown.
///
/// # Errors
/// When the configuration cannot be used. An API server that is away is waited for.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    component::tls::install_provider();
    metrics::init(NAME);
    let connector = Connector::from_kubeconfig(&options.kubeconfig, &component::version::user_agent(NAME))?;
    let root_ca = options
        .root_ca_file
        .as_ref()
        .map(|file| std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())))
        .transpose()?;
    let parts = Parts {
        connector,
        clock: Arc::new(SystemClock),
        identity: identity(),
        root_ca,
        signer: options.signer()?.map(Arc::new),
    };
    run_with(parts, options, shutdown).await
}

/// The same body on other parts.
pub async fn run_with(parts: Parts, options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    let client = parts.connector.client();
    let checks = Checks::new();
    let access = Arc::new(DelegatedAccess::new(client.clone()));
    let side = tokio::spawn({
        let (side, checks, shutdown) = (options.side.clone(), checks.clone(), shutdown.clone());
        async move { side_port::run(&side, checks, access, shutdown).await }
    });

    let (leadership, election) = if options.leader_elect {
        let lease = LeaseName { namespace: "kube-system".into(), name: NAME.into() };
        let elector = LeaderElector::new(client.clone(), lease, &parts.identity, parts.clock.clone());
        (elector.leadership(), Some(tokio::spawn(elector.run(shutdown.clone()))))
    } else {
        (Leadership::always(), None)
    };
    let seed = client::Jitter::from_name(&parts.identity).next();
    let context = kit::Context {
        informers: Informers::new(client, seed, shutdown.clone()),
        identities: identities::Identities::new(parts.connector.clone()),
        clock: parts.clock,
        leadership,
        options: Arc::new(options),
        root_ca: parts.root_ca.map(Into::into),
        signer: parts.signer,
        shutdown: shutdown.clone(),
        pods: Arc::default(),
    };
    let running = controllers::start(&context)?;
    let mut side = side;
    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut side => if let Err(error) = ended.context("the side port panicked").and_then(|ended| ended) {
            shutdown.begin();
            return Err(error);
        },
    }
    shutdown.cancelled().await;
    for task in running {
        // Tasks end with the shutdown; one that panicked has been reported by its runtime.
        let _ = task.await;
    }
    if let Some(election) = election {
        let _ = election.await;
    }
    Ok(())
}

fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { NAME.to_owned() } else { format!("{host}_{NAME}") }
}
