//! Where what `make build` and `make images` produced lies.

use std::path::{Path, PathBuf};

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The folder of the release binaries; `KOGGE_BIN_DIR` overrides.
pub fn bin_dir() -> PathBuf {
    std::env::var_os("KOGGE_BIN_DIR").map_or_else(|| root().join("target/release"), PathBuf::from)
}

/// A release binary.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = bin_dir().join(name);
    anyhow::ensure!(path.exists(), "{} is not there: run 'make images' first", path.display());
    Ok(path)
}
