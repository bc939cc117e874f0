//! What kubectl sees of a server that is started anew on the same etcd, and of very many definitions. What it shows else is in
//! the transcripts of `e2e/tests/kubectl`. Without a kubectl there is nothing to run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod custom;
mod server;

use std::path::{Path, PathBuf};

use server::Server;
use tokio::process::Command;

/// What it shows, the line typed, the exit code, and what standard output or error must hold.
struct Row(&'static str, &'static str, i32, &'static str);

/// The newest kubectl of those that lie beside the one on the PATH as `kubectl.1.27`, …, or that one.
fn newest() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let main = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.exists())?;
    let real = std::fs::canonicalize(&main).unwrap_or_else(|_| main.clone());
    let beside = real.parent().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let is_versioned =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl.1."));
    beside.map(|entry| entry.path()).filter(is_versioned).max().or(Some(main))
}

/// kubectl under its own name, which is what it calls itself towards the server.
fn by_its_name(kubectl: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(kubectl.file_name().unwrap());
    let link = folder.join("bin/kubectl");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    if !link.exists() {
        std::os::unix::fs::symlink(kubectl, &link).unwrap();
    }
    link
}

/// Types each row, with `$K` for kubectl and each of `words` for what it stands for.
async fn run(table: &[Row], found: &Path, server: &Server, words: &[(&str, &str)]) {
    let kubectl = by_its_name(found);
    for Row(what, line, code, said) in table {
        let line = words.iter().fold((*line).to_owned(), |line, (word, text)| line.replace(&format!("${word}"), text));
        let output = Command::new("sh")
            .args(["-c", &line])
            .env("K", format!("{} --kubeconfig=/dev/null --server={}", kubectl.display(), server.url))
            .env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}", std::process::id())))
            .env("KUBECTL_APPLYSET", "false")
            .output()
            .await
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let ended = output.status.code() == Some(*code);
        assert!(
            ended && (out.contains(said) || err.contains(said)),
            "{} {what}: {line}\nended with {}, expected {code} and: {said}\n{out}{err}",
            found.display(),
            output.status
        );
    }
}
