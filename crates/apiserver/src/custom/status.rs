//! Writes of the server to definitions.

use api_rules::value;
use serde_json::Value;

use super::{GROUP, RESOURCE};
use crate::{bootstrap::write, claims::Claims, core::Core};

/// Writes `new` over the definition that was seen. Nothing happens if another writer came first: the watch tells of it.
pub async fn write(core: &Core, seen: &Value, new: Value) -> anyhow::Result<()> {
    let revision = value::text(seen, &["metadata", "resourceVersion"]).parse()?;
    let kind = write::kind_of(RESOURCE, &format!("{GROUP}/v1"))?;
    write::commit(core, kind, Some(seen), new, revision, Claims::default()).await.map(|_| ())
}
