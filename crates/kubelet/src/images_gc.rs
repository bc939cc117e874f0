//! Removes images that nobody uses when their disk is filling up.

use crate::{context::Context, node::machine, note};
use jiff::SignedDuration;
use pod_lifecycle::gc::{self, ImageSeen, Thresholds};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// As often as upstream looks; a file system reports nothing by itself.
const LOOK_EVERY: Duration = Duration::from_secs(300);

pub async fn run(context: Arc<Context>) {
    // An image is as old as our knowledge of it.
    let mut first_seen = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let file = &context.config.file;
        let thresholds = Thresholds {
            high: file.image_gc_high_threshold_percent,
            low: file.image_gc_low_threshold_percent,
            min_age: SignedDuration::try_from(file.image_minimum_gc_age.0).unwrap_or_default(),
        };
        if let Err(error) = once(&context, &mut first_seen, thresholds).await {
            context.warn(note::node(&context.config.node_name), "ImageGCFailed", &format!("{error:#}"));
            tracing::warn!("cannot collect images: {error:#}");
        }
    }
}

/// Every image that no container uses, however young: the node is short of disk.
pub async fn remove_unused(context: &Context) -> anyhow::Result<()> {
    once(context, &mut BTreeMap::new(), Thresholds { high: 0, low: 0, min_age: SignedDuration::ZERO }).await
}

async fn once(
    context: &Context,
    first_seen: &mut BTreeMap<String, jiff::Timestamp>,
    thresholds: Thresholds,
) -> anyhow::Result<()> {
    let now = context.clock.now();
    let images = context.runtime.list_images().await?;
    let containers = context.runtime.list_containers(None).await?;
    let used: Vec<&str> = containers
        .iter()
        .flat_map(|c| [c.image_ref.as_str(), c.image.as_ref().map_or("", |i| i.image.as_str())])
        .collect();
    let sandbox = context.config.sandbox_image.as_deref().map(cri::normalize);
    let seen: Vec<ImageSeen> = images
        .iter()
        .map(|image| {
            let known = *first_seen.entry(image.id.clone()).or_insert(now);
            let names = [&image.repo_tags, &image.repo_digests].into_iter().flatten();
            ImageSeen {
                id: image.id.clone(),
                size: image.size,
                last_used: context.images.last_used(&image.id).unwrap_or(known).max(known),
                in_use: used.contains(&image.id.as_str()) || names.clone().any(|n| used.contains(&n.as_str())),
                pinned: image.pinned || names.clone().any(|n| Some(n) == sandbox.as_ref()),
            }
        })
        .collect();
    first_seen.retain(|id, _| images.iter().any(|i| i.id == *id));
    let info = context.runtime.image_fs_info().await?;
    let Some(place) = info.image_filesystems.first().and_then(|f| f.fs_id.as_ref()).map(|f| f.mountpoint.clone())
    else {
        return Ok(());
    };
    let (taken, total) = machine::disk_use(Path::new(&place))?;
    for image in gc::images(seen, taken, total, thresholds, now) {
        tracing::info!(image = image.id, bytes = image.size, "removing an unused image");
        context.runtime.remove_image(&image.id).await?;
    }
    Ok(())
}
