//! Kernel settings that a cluster needs, and their restoration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::layout::Layout;

/// Sets what must be set in this machine's namespace, remembering what it was the first time.
pub fn set(layout: &Layout, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut former = saved(layout);
    for (name, value) in wanted {
        let path = path(name);
        let now = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if now.trim() == *value {
            continue;
        }
        former.entry((*name).to_owned()).or_insert_with(|| now.trim().to_owned());
        crate::pki::write(&layout.sysctls(), &serde_json::to_string(&former)?, 0o644)?;
        std::fs::write(&path, value).with_context(|| format!("setting {name}"))?;
    }
    Ok(())
}

/// Puts everything back as it was.
pub fn restore(layout: &Layout) {
    for (name, value) in saved(layout) {
        if let Err(error) = std::fs::write(path(&name), &value) {
            tracing::warn!(name, value, %error, "cannot be restored");
        }
    }
}

fn saved(layout: &Layout) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(layout.sysctls()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}
