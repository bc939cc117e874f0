//! Image import: an OCI archive's blobs into containerd's content store, and its names into the image store.
//!
//! Done with the content, lease and image services, because the transfer service came with containerd 1.7. Layers
//! are unpacked by CRI when the first container of the image is made.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    CreateImageRequest, CreateRequest, DeleteRequest, Image, UpdateImageRequest, WriteAction, WriteContentRequest,
};
use containerd_client::types::Descriptor;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::tar::{self, Members};
use super::{Containerd, NAMESPACE};
use crate::error::{Error, Result};
use crate::reference::normalize;
use crate::runtime::Runtime as _;

/// Bytes per message to the content store.
const CHUNK: usize = 1 << 20;

/// An index or manifest larger than this is no index or manifest.
const MAX_DOCUMENT: u64 = 4 << 20;

/// How long CRI may take to notice a new image.
const NOTICE: Duration = Duration::from_secs(10);

/// An OCI index or manifest: only what points on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    manifests: Vec<Blob>,
    config: Option<Blob>,
    #[serde(default)]
    layers: Vec<Blob>,
}

/// An OCI descriptor.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

pub(super) async fn import(runtime: &Containerd, archive: &Path) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", archive.display()));
    let mut file = File::open(archive).await.map_err(failed)?;
    let members = tar::members(&mut file).await.map_err(failed)?;

    // Under a lease, so that the garbage collector leaves the blobs alone until an image points at them.
    let mut leases = LeasesClient::new(runtime.channel.clone());
    let labels = [("containerd.io/gc.expire".to_owned(), expiry())].into();
    let create = CreateRequest { id: String::new(), labels };
    let lease = leases.create(scoped(create, None)?).await?.into_inner().lease;
    let lease = lease.ok_or_else(|| Error::Failed("containerd made no lease".to_owned()))?.id;

    let mut importer = Importer { runtime, file, members, lease: lease.clone() };
    let imported = importer.run().await;
    // The collection that follows runs in the background: nothing here waits for it.
    leases.delete(scoped(DeleteRequest { id: lease, sync: false }, None)?).await?;
    let names = imported?;
    for name in &names {
        noticed(runtime, name).await?;
    }
    Ok(names)
}

struct Importer<'a> {
    runtime: &'a Containerd,
    file: File,
    members: Members,
    lease: String,
}

impl Importer<'_> {
    async fn run(&mut self) -> Result<Vec<String>> {
        let index = self.document("index.json").await?;
        let mut names = Vec::new();
        for root in index.manifests {
            let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                .iter()
                .find_map(|key| root.annotations.get(*key))
                .ok_or_else(|| Error::Failed(format!("the archive does not name its image {}", root.digest)))?;
            let name = normalize(name);
            self.store(&root).await?;
            self.publish(&name, &root).await?;
            names.push(name);
        }
        Ok(names)
    }

    /// Stores a blob and everything it points at, children first, each labelled so that its parent keeps it.
    async fn store(&mut self, blob: &Blob) -> Result<()> {
        let mut labels = BTreeMap::new();
        if blob.media_type.contains("manifest") || blob.media_type.contains("index") {
            let document = self.document(&member(&blob.digest)).await?;
            let children = document
                .manifests
                .iter()
                .enumerate()
                .map(|(i, child)| (format!("m.{i}"), child))
                .chain(document.config.iter().map(|child| ("config".to_owned(), child)))
                .chain(document.layers.iter().enumerate().map(|(i, child)| (format!("l.{i}"), child)));
            for (key, child) in children {
                labels.insert(format!("containerd.io/gc.ref.content.{key}"), child.digest.clone());
                Box::pin(self.store(child)).await?;
            }
        }
        self.write(blob, labels).await
    }

    /// Writes one blob. One that is there already is left as it is.
    async fn write(&mut self, blob: &Blob, labels: BTreeMap<String, String>) -> Result<()> {
        let (offset, size) = self.find(&member(&blob.digest))?;
        let file = self.file.try_clone().await.map_err(|error| Error::Failed(error.to_string()))?;
        let message = WriteContentRequest {
            r#ref: format!("import-{}", blob.digest),
            total: i64::try_from(size).unwrap_or(i64::MAX),
            expected: blob.digest.clone(),
            labels: labels.into_iter().collect(),
            ..Default::default()
        };
        let chunks = chunks(file, offset, size, message);
        let mut client = ContentClient::new(self.runtime.channel.clone());
        let wrote = async {
            let mut answers = client.write(scoped(chunks, Some(&self.lease))?).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        };
        match wrote.await {
            Err(Error::AlreadyExists(_)) => Ok(()),
            other => other,
        }
    }

    /// Gives the image its name, or points the name at it.
    async fn publish(&self, name: &str, root: &Blob) -> Result<()> {
        let target = Descriptor {
            media_type: root.media_type.clone(),
            digest: root.digest.clone(),
            size: root.size,
            ..Default::default()
        };
        let image = Some(Image { name: name.to_owned(), target: Some(target), ..Default::default() });
        let mut client = ImagesClient::new(self.runtime.channel.clone());
        let create = CreateImageRequest { image: image.clone(), ..Default::default() };
        match client.create(scoped(create, Some(&self.lease))?).await.map_err(Error::from) {
            Err(Error::AlreadyExists(_)) => {
                let update = UpdateImageRequest { image, ..Default::default() };
                client.update(scoped(update, Some(&self.lease))?).await?;
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn document(&mut self, name: &str) -> Result<Document> {
        let (offset, size) = self.find(name)?;
        let broken = |error: &dyn std::fmt::Display| Error::Failed(format!("{name} in the archive: {error}"));
        if size > MAX_DOCUMENT {
            return Err(broken(&"too large"));
        }
        self.file.seek(SeekFrom::Start(offset)).await.map_err(|error| broken(&error))?;
        let mut bytes = Vec::new();
        (&mut self.file).take(size).read_to_end(&mut bytes).await.map_err(|error| broken(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| broken(&error))
    }

    fn find(&self, name: &str) -> Result<(u64, u64)> {
        let missing = || Error::Failed(format!("the archive has no {name}: it is not an OCI image archive"));
        self.members.get(name).copied().ok_or_else(missing)
    }
}

/// Where an OCI layout keeps a blob.
fn member(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// A blob as the messages of one upload. An error while reading ends the upload short, and containerd refuses it.
fn chunks(
    mut file: File,
    offset: u64,
    size: u64,
    message: WriteContentRequest,
) -> impl futures::Stream<Item = WriteContentRequest> + Send {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    tokio::spawn(async move {
        if file.seek(SeekFrom::Start(offset)).await.is_err() {
            return;
        }
        let mut sent = 0;
        while sent < size {
            let length = (size - sent).min(CHUNK as u64);
            let mut data = vec![0; usize::try_from(length).unwrap_or(CHUNK)];
            if file.read_exact(&mut data).await.is_err() {
                return;
            }
            let offset = i64::try_from(sent).unwrap_or(i64::MAX);
            let part = WriteContentRequest {
                action: WriteAction::Write.into(),
                offset,
                data,
                labels: Default::default(),
                ..message.clone()
            };
            if sender.send(part).await.is_err() {
                return;
            }
            sent += length;
        }
        let offset = i64::try_from(size).unwrap_or(i64::MAX);
        sender.send(WriteContentRequest { action: WriteAction::Commit.into(), offset, ..message }).await.ok();
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// CRI learns of images from containerd's events: waits until it knows this one.
async fn noticed(runtime: &Containerd, name: &str) -> Result<()> {
    let known = async {
        let mut pause = Duration::from_millis(2);
        while runtime.image_status(name).await?.is_none() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(())
    };
    match tokio::time::timeout(NOTICE, known).await {
        Ok(known) => known,
        Err(_) => Err(Error::Timeout(format!("{name} was imported, but CRI does not show it"))),
    }
}

/// A request in CRI's namespace, and under a lease.
fn scoped<T>(message: T, lease: Option<&str>) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    if let Some(lease) = lease {
        let value = MetadataValue::try_from(lease).map_err(|error| Error::Failed(error.to_string()))?;
        request.metadata_mut().insert("containerd-lease", value);
    }
    Ok(request)
}

/// When a lease that an interrupted import leaves behind ends.
#[allow(clippy::disallowed_methods, reason = "containerd compares this with the machine's clock")]
fn expiry() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}
