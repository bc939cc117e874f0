//! Writes and a watch that go on while something dies.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use api_types::k8s_openapi::api::core::v1::ConfigMap;
use e2e::wait;
use futures::TryStreamExt;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::Cluster;

/// The longest that a write may take, or that a write fails, or that the watch is behind.
const LIMIT: Duration = Duration::from_secs(30);

type Names = Arc<Mutex<BTreeSet<String>>>;

/// ConfigMaps that are made one after the other, and a watch of them that is taken up again whenever it ends.
pub struct Load {
    client: Client,
    label: String,
    acknowledged: Names,
    seen: Names,
    stop: Arc<AtomicBool>,
    runtime: tokio::runtime::Runtime,
}

impl Load {
    pub fn begin(c: &Cluster, name: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        component::tls::install_provider();
        let kubeconfig = Kubeconfig::read_from(c.dir.join("admin.kubeconfig"))?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        let (acknowledged, seen, stop) = (Names::default(), Names::default(), Arc::new(AtomicBool::new(false)));
        let load = Self { client, label: format!("fault={name}"), acknowledged, seen, stop, runtime };
        load.runtime.spawn(write(load.maps(), name.to_owned(), load.acknowledged.clone(), load.stop.clone()));
        load.runtime.spawn(watch(load.maps(), load.label.clone(), load.seen.clone()));
        Ok(load)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::default_namespaced(self.client.clone())
    }

    /// Waits for so many more acknowledged writes.
    pub fn goes_on(&self, writes: usize) -> anyhow::Result<()> {
        let goal = self.acknowledged.lock().len() + writes;
        wait::until("writes go on", LIMIT, || {
            let now = self.acknowledged.lock().len();
            ensure!(now >= goal, "{now} of {goal}");
            Ok(())
        })
        .map(drop)
    }

    /// Everything that was acknowledged is there, and the watch has shown it.
    pub fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        wait::until("the writer's end", LIMIT, || {
            ensure!(Arc::strong_count(&self.stop) == 1);
            Ok(())
        })?;
        let acknowledged = self.acknowledged.lock().clone();
        wait::until("the watch has shown every write", LIMIT, || {
            let missed: Vec<_> = acknowledged.difference(&self.seen.lock()).cloned().collect();
            ensure!(missed.is_empty(), "{missed:?}");
            Ok(())
        })?;
        self.runtime.block_on(async {
            let all = ListParams::default().labels(&self.label);
            let there = self.maps().list(&all).await.context("listing what was written")?;
            let there: BTreeSet<_> = there.items.into_iter().filter_map(|map| map.metadata.name).collect();
            let lost: Vec<_> = acknowledged.difference(&there).collect();
            ensure!(lost.is_empty(), "lost: {lost:?}");
            self.maps().delete_collection(&DeleteParams::default(), &all).await?;
            Ok(())
        })
    }
}

async fn write(maps: Api<ConfigMap>, fault: String, acknowledged: Names, stop: Arc<AtomicBool>) {
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("fault-{fault}-{i}");
        let map = serde_json::from_value(json!({"metadata": {"name": name, "labels": {"fault": fault}}}));
        let Ok(map) = map else { return };
        match tokio::time::timeout(LIMIT, maps.create(&PostParams::default(), &map)).await {
            Ok(Ok(_)) => drop(acknowledged.lock().insert(name)),
            // Nobody has promised anything about this one.
            Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn watch(maps: Api<ConfigMap>, label: String, seen: Names) {
    let mut events = std::pin::pin!(watcher(maps, watcher::Config::default().labels(&label)));
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(map) | watcher::Event::InitApply(map))) => {
                seen.lock().extend(map.metadata.name);
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
