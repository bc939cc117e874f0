//! Server-side apply as people do it with kubectl: the oldest and the newest on this machine against a server in this
//! process. Without a kubectl there is nothing to run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod custom;
mod server;

use std::path::{Path, PathBuf};

use server::Server;
use tokio::process::Command;

/// What it shows, the line typed, the exit code, and what standard output or error must hold.
struct Row(&'static str, &'static str, i32, &'static str);

const MAP: &str = "printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: m}\\ndata: {%s}\\n'";
const WEB: &str = "printf 'apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: web}\\nspec:\\n  replicas: %s\\n  selector: {matchLabels: {a: b}}\\n  template:\\n    metadata: {labels: {a: b}}\\n    spec: {containers: [{name: c, image: %s}]}\\n'";

/// Each row starts from what the rows before it left.
const TABLE: &[Row] = &[
    Row("applied from the client's side", "$WEB 1 i:1 | $K apply -f -", 0, "deployment.apps/web created"),
    Row(
        "its owner",
        "$K get deployment web --show-managed-fields -o jsonpath='{.metadata.managedFields[*].manager} {.metadata.managedFields[*].operation}'",
        0,
        "kubectl-client-side-apply Update",
    ),
    Row("owners are hidden", "$K get deployment web -o yaml | grep -c managedFields; true", 0, "0"),
    Row("owners are shown", "$K get deployment web -o yaml --show-managed-fields", 0, "f:replicas: {}"),
    Row(
        "taken over by the server's side",
        "$WEB 1 i:2 | $K apply --server-side -f -",
        0,
        "deployment.apps/web serverside-applied",
    ),
    Row("the annotation follows", "$K apply view-last-applied deployment/web -o json", 0, "\"image\": \"i:2\""),
    Row("kubectl scale owns the replicas", "$K scale deployment web --replicas=5", 0, "deployment.apps/web scaled"),
    Row(
        "a conflict",
        "$WEB 3 i:2 | $K apply --server-side -f -",
        1,
        "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas",
    ),
    Row("what to do about it", "$WEB 3 i:2 | $K apply --server-side -f -", 1, "--force-conflicts"),
    Row(
        "forced",
        "$WEB 3 i:2 | $K apply --server-side --force-conflicts -f - && $K get deployment web -o jsonpath='{.spec.replicas}'",
        0,
        "3",
    ),
    Row(
        "a field given up to an autoscaler",
        "$WEB 3 i:2 | grep -v replicas | $K apply --server-side -f - && $K get deployment web -o jsonpath='{.spec.replicas}'",
        0,
        "1",
    ),
    Row(
        "unknown fields",
        "$WEB 3 i:2 | sed 's/replicas/replcas/' | $K apply --server-side --validate=false -f -",
        1,
        ".spec.replcas: field not declared in schema",
    ),
    Row(
        "two managers",
        "$MAP 'x: \"1\", w: \"1\"' | $K apply --server-side --field-manager=a -f -",
        0,
        "serverside-applied",
    ),
    Row("share a value", "$MAP 'x: \"1\"' | $K apply --server-side --field-manager=b -f -", 0, "serverside-applied"),
    Row(
        "several conflicts",
        "$MAP 'x: \"2\", w: \"2\"' | $K apply --server-side --field-manager=c -f -",
        1,
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .data.w\n- .data.x\nconflicts with \"b\":\n- .data.x",
    ),
    Row(
        "one leaves, the other's stays",
        "$MAP '' | $K apply --server-side --field-manager=a -f - && $K get cm m -o jsonpath='{.data}'",
        0,
        "{\"x\":\"1\"}",
    ),
    Row(
        "a dry run changes nothing",
        "$MAP 'x: \"9\"' | $K apply --server-side --force-conflicts --dry-run=server -f - && $K get cm m -o jsonpath='{.data}'",
        0,
        "{\"x\":\"1\"}",
    ),
    Row("diff", "$MAP 'x: \"9\"' | $K diff --server-side --force-conflicts -f -", 1, "+  x: \"9\""),
    Row("edit by patch", "$K patch cm m -p '{\"data\":{\"z\":\"1\"}}'", 0, "configmap/m patched"),
    Row(
        "its owner",
        "$K get cm m --show-managed-fields -o jsonpath='{range .metadata.managedFields[*]}{.manager}/{.operation} {end}'",
        0,
        "b/Apply a/Apply kubectl-patch/Update",
    ),
    Row("replace", "$K get cm m -o yaml | sed 's/z: \"1\"/z: \"2\"/' | $K replace -f -", 0, "configmap/m replaced"),
    Row(
        "a reset",
        "$K patch cm m --type=merge -p '{\"metadata\":{\"managedFields\":[{}]}}' && $K get cm m --show-managed-fields -o yaml | grep -c managedFields; true",
        0,
        "0",
    ),
    Row("after a reset", "$MAP 'x: \"1\"' | $K apply --server-side -f -", 0, "serverside-applied"),
    Row("what was before", "$K get cm m --show-managed-fields -o yaml", 0, "manager: before-first-apply"),
    Row(
        "the status",
        "$K patch deployment web --subresource=status --type=merge -p '{\"status\":{\"replicas\":1}}' && $K get deployment web --show-managed-fields -o yaml",
        0,
        "subresource: status",
    ),
];

/// The oldest and the newest kubectl that lie beside the one on the PATH as `kubectl.1.27`, …, or that one.
fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(main) = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.exists()) else {
        return Vec::new();
    };
    let real = std::fs::canonicalize(&main).unwrap_or_else(|_| main.clone());
    let beside = real.parent().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let is_versioned =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl.1."));
    let mut found: Vec<_> = beside.map(|entry| entry.path()).filter(is_versioned).collect();
    found.sort();
    match found.as_slice() {
        [] => vec![main],
        [only] => vec![only.clone()],
        [oldest, .., newest] => vec![oldest.clone(), newest.clone()],
    }
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

#[tokio::test]
async fn apply() {
    for found in kubectls() {
        let server = Server::start().await;
        run(TABLE, &found, &server, &[("WEB", WEB), ("MAP", MAP)]).await;
    }
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
