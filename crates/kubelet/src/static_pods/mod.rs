//! Static pods: manifests in a folder, in a file or behind a URL, run without asking the API server.
//!
//! Each source is read when it changes and once per period; what has come and gone since the last time is told to
//! [`Pods`]. Who such a pod is, and what becomes of its mirror, is decided in `pod_lifecycle::static_pods`.

mod decode;
mod files;
pub mod mirrors;
mod url;

use crate::{context::Context, note, pods::Pods};
use pod_lifecycle::{core::Pod, names, static_pods::Origin};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Bytes of one manifest.
const MANIFEST_MAX: usize = 10 << 20;

/// Where manifests come from.
enum Source {
    Files(files::Watched),
    Url(url::Watched),
}

/// How many of [`run`]'s sources have to be read before it is known which pods the node has.
pub fn sources(context: &Context) -> usize {
    let file = &context.config.file;
    usize::from(path(context).is_some()) + usize::from(!file.static_pod_url.is_empty())
}

fn path(context: &Context) -> Option<&PathBuf> {
    context.config.file.static_pod_path.as_ref().filter(|path| !path.as_os_str().is_empty())
}

/// Follows the configured sources for as long as the kubelet runs.
pub async fn run(pods: Arc<Pods>) {
    let file = &pods.context().config.file;
    let files = path(pods.context()).map(|path| Source::Files(files::Watched::new(path, file.file_check_frequency.0)));
    let url = (!file.static_pod_url.is_empty()).then(|| {
        let header = file.static_pod_url_header.clone();
        Source::Url(url::Watched::new(&file.static_pod_url, header, file.http_check_frequency.0))
    });
    futures::future::join_all([files, url].into_iter().flatten().map(|source| follow(pods.clone(), source))).await;
}

async fn follow(pods: Arc<Pods>, mut source: Source) {
    let mut known: BTreeMap<String, Arc<Pod>> = BTreeMap::new();
    let mut first = true;
    loop {
        match source.read().await {
            Ok(manifests) => {
                let wanted = decoded(pods.context(), manifests);
                known.retain(|uid, pod| {
                    let stays = wanted.contains_key(uid);
                    if !stays {
                        pods.static_unwanted(pod);
                    }
                    stays
                });
                for (uid, pod) in wanted {
                    known.entry(uid).or_insert_with(|| {
                        pods.static_wanted(pod.clone());
                        pod
                    });
                }
                if std::mem::take(&mut first) {
                    pods.source_known().await;
                }
            }
            Err(error) => tracing::warn!("cannot read static pods: {error:#}"),
        }
        source.changed().await;
    }
}

/// What can be run, by uid. Whatever is wrong with one manifest concerns none of the others.
fn decoded(context: &Context, manifests: Vec<(Origin, String)>) -> BTreeMap<String, Arc<Pod>> {
    let mut all: BTreeMap<String, Arc<Pod>> = BTreeMap::new();
    let (node, now) = (&context.config.node_name, context.clock.now());
    for (origin, text) in manifests {
        let pods = match decode::pods(&text, &origin, node, now) {
            Ok(pods) => pods,
            Err(error) => {
                report(context, &format!("Could not process manifest {}: {error:#}", place(&origin)));
                continue;
            }
        };
        for pod in pods {
            if all.values().any(|other| names::full_name(other) == names::full_name(&pod)) {
                let text = format!("duplicate pod name {:?} in {}, ignoring", names::full_name(&pod), place(&origin));
                report(context, &text);
                continue;
            }
            all.insert(names::uid(&pod).to_owned(), Arc::new(pod));
        }
    }
    all
}

fn place(origin: &Origin) -> &str {
    match origin {
        Origin::File(path) => path,
        Origin::Url(url) => url,
    }
}

fn report(context: &Context, text: &str) {
    tracing::warn!("{text}");
    context.warn(note::node(&context.config.node_name), "FailedStaticPod", text);
}

impl Source {
    async fn read(&self) -> anyhow::Result<Vec<(Origin, String)>> {
        match self {
            Source::Files(files) => files.read(),
            Source::Url(url) => url.read().await,
        }
    }

    /// Returns when it is worth reading again.
    async fn changed(&mut self) {
        match self {
            Source::Files(files) => files.changed().await,
            Source::Url(url) => url.changed().await,
        }
    }
}
