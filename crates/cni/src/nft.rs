//! The `nft` program, fed with one transaction.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Applies a script: all of it or nothing.
pub async fn apply(script: &str) -> anyhow::Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting nft")?;
    let mut input = child.stdin.take().context("nft has no input")?;
    input.write_all(script.as_bytes()).await.context("writing to nft")?;
    drop(input);
    let output = child.wait_with_output().await.context("waiting for nft")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {}", said.trim());
    Ok(())
}

/// Removes a table if it is there.
pub async fn remove_table(name: &str) -> anyhow::Result<()> {
    // Declaring it first makes the deletion of a table that is not there succeed.
    apply(&format!("table ip {name} {{}}\ndelete table ip {name}\n")).await
}
