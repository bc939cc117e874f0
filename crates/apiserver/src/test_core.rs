//! A core over the in-memory store, for tests of single parts.

use std::sync::Arc;

use clap::Parser;
use component::TokioClock;
use store::memory::Memory;

use api_rules::{KindRef, kinds};

use crate::{
    config::Config,
    core::Core,
    random::Random,
    registry::{Registry, Served},
};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// The defaults, at an address of its own.
pub fn config() -> Config {
    Flags::parse_from(["kogge-apiserver", "--advertise-address", "192.0.2.7"]).config
}

/// Loaded and empty; its clock begins in 2026.
pub async fn core(config: Config) -> Arc<Core> {
    core_on(config, Arc::new(Memory::new())).await
}

/// Loaded from a store that others may share.
pub async fn core_on(config: Config, backend: Arc<Memory>) -> Arc<Core> {
    let start = "2026-01-02T03:04:05Z".parse().unwrap();
    let clock = Arc::new(TokioClock::starting_at(start));
    let core = Core::start(config, clock, Arc::new(Random::seeded(1)), backend);
    core.store.ready().await;
    Arc::new(core)
}

/// The built-in kinds, without a store behind them.
pub fn registry() -> Registry {
    let served = kinds::all().iter().filter(|kind| !kind.names().plural.is_empty());
    let built_in: Vec<_> = served.map(|kind| Arc::new(Served::new(KindRef::BuiltIn(*kind), None))).collect();
    Registry::new(&built_in, &[], None)
}
