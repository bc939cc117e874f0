//! The clients that people have: every kubectl on this machine, and Python with the `kubernetes` package.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{built, shell::Shell};

/// The oldest version that the table of commands is written for.
const OLDEST: u32 = 27;

/// Every kubectl that is new enough: those that lie beside the one on the PATH as `kubectl.1.27`, …, or that one.
pub fn kubectls() -> Vec<(String, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(main) = std::env::split_paths(&path).map(|d| d.join("kubectl")).find(|p| p.exists()) else {
        return vec![];
    };
    let real = fs::canonicalize(&main).unwrap_or(main.clone());
    let beside = real.parent().and_then(|d| fs::read_dir(d).ok()).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = beside
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("kubectl.")?;
            version.starts_with("1.").then(|| (version.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    if found.is_empty() {
        found.extend(minor_version(&main).filter(|minor| *minor >= OLDEST).map(|minor| (format!("1.{minor}"), main)));
    }
    found
}

fn minor_version(kubectl: &Path) -> Option<u32> {
    let shell = Shell::default().with("K", kubectl);
    let said = shell.ok("\"$K\" version --client -o json").ok()?;
    let version: serde_json::Value = serde_json::from_str(&said).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

/// A Python with the `kubernetes` package, installed from PyPI into the build folder on first use.
///
/// # Errors
/// When Python is missing or the package cannot be had.
pub fn python() -> anyhow::Result<PathBuf> {
    let venv = built::root().join("target/e2e-python");
    let python = venv.join("bin/python");
    let shell = Shell::default().with("VENV", &venv);
    if shell.run("\"$VENV/bin/python\" -c 'import kubernetes'", Duration::from_secs(60))?.code != 0 {
        let install = "python3 -m venv \"$VENV\" && \"$VENV/bin/pip\" install --quiet kubernetes";
        shell.ok_within(install, Duration::from_secs(300))?;
    }
    Ok(python)
}
