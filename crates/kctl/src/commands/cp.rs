//! `kctl cp`: files to and from a container, through the `tar` that both sides must have.

use std::{
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    process::Command,
};

use super::{
    exec::refusal,
    logs::{container_of, pod_of},
};
use crate::session::Session;

/// Bytes of the container's complaints that are shown.
const COMPLAINTS: u64 = 64 << 10;

#[derive(Args, Debug)]
pub struct Cp {
    /// A path here, or [NAMESPACE/]POD:PATH
    from: String,
    /// A path here, or [NAMESPACE/]POD:PATH
    to: String,
    /// The container
    #[arg(long, short)]
    container: Option<String>,
    /// Leave owners and modes as they come out
    #[arg(long)]
    no_preserve: bool,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Here(&'a str),
    There { namespace: Option<&'a str>, pod: &'a str, path: &'a str },
}

impl Cp {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        match (parse(&self.from)?, parse(&self.to)?) {
            (End::Here(from), End::There { namespace, pod, path }) => {
                self.upload(session, from, namespace, pod, path).await?;
            }
            (End::There { namespace, pod, path }, End::Here(to)) => {
                self.download(session, namespace, pod, path, to).await?;
            }
            (End::Here(_), End::Here(_)) => bail!("one of src or dest must be a remote file specification"),
            _ => bail!("src and dest cannot both be remote file specifications"),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn upload(
        &self,
        session: &Session,
        from: &str,
        namespace: Option<&str>,
        pod: &str,
        to: &str,
    ) -> anyhow::Result<()> {
        let source = Path::new(from);
        ensure!(source.exists(), "{from} doesn't exist in local filesystem");
        let source = source.canonicalize()?;
        let (folder, name) = split(&source.to_string_lossy())?;
        // A path that ends in a slash is a folder to copy into.
        let (into, as_name) = if to.ends_with('/') { (to.to_owned(), name.clone()) } else { split(to)? };
        let mut tar = Command::new("tar");
        tar.args(["-cf", "-", "-C", &folder, &format!("--transform=flags=r;s|^{}|{}|", escaped(&name), as_name)]);
        let mut tar = tar.arg("--").arg(&name).stdout(Stdio::piped()).spawn().context("cannot run tar")?;
        let mut command = vec!["tar".to_owned(), "-xmf".into(), "-".into(), "-C".into(), into];
        if self.no_preserve {
            command.splice(1..1, ["--no-same-permissions".to_owned(), "--no-same-owner".into()]);
        }
        let mut process = self.start(session, namespace, pod, &command, true).await?;
        let (mut stdin, mut stdout) = (process.stdin().context("no way in")?, tar.stdout.take().context("no way out")?);
        let send = async {
            copy(&mut stdout, &mut stdin).await?;
            stdin.shutdown().await
        };
        let (sent, ended) = tokio::join!(send, end(process));
        ended?;
        sent.context("sending the archive")?;
        ensure!(tar.wait().await?.success(), "tar could not read {from}");
        Ok(())
    }

    async fn download(
        &self,
        session: &Session,
        namespace: Option<&str>,
        pod: &str,
        from: &str,
        to: &str,
    ) -> anyhow::Result<()> {
        let (folder, name) = split(from.trim_end_matches('/'))?;
        let target = Path::new(to);
        let (into, as_name) = match target.is_dir() {
            true => (to.to_owned(), name.clone()),
            false => split(to.trim_end_matches('/'))?,
        };
        let command = ["tar", "-cf", "-", "-C", &folder, "--", &name].map(str::to_owned);
        let mut process = self.start(session, namespace, pod, &command, false).await?;
        // tar itself refuses members that would leave the folder.
        let mut tar = Command::new("tar");
        tar.args(["-xf", "-", "-C", &into, &format!("--transform=flags=r;s|^{}|{}|", escaped(&name), as_name)]);
        if self.no_preserve {
            tar.args(["--no-same-permissions", "--no-same-owner"]);
        }
        let mut tar = tar.stdin(Stdio::piped()).spawn().context("cannot run tar")?;
        let (mut stdout, mut stdin) = (process.stdout().context("no way out")?, tar.stdin.take().context("no way in")?);
        let receive = async {
            copy(&mut stdout, &mut stdin).await?;
            stdin.shutdown().await?;
            drop(stdin);
            std::io::Result::Ok(())
        };
        let (received, ended) = tokio::join!(receive, end(process));
        ended?;
        received.context("receiving the archive")?;
        ensure!(tar.wait().await?.success(), "tar could not write {to}");
        Ok(())
    }

    async fn start(
        &self,
        session: &Session,
        namespace: Option<&str>,
        pod: &str,
        command: &[String],
        stdin: bool,
    ) -> anyhow::Result<AttachedProcess> {
        let namespace = namespace.unwrap_or(&session.namespace);
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
        let container = match &self.container {
            Some(container) => container.clone(),
            None if namespace == session.namespace => container_of(&pod_of(session, pod).await?, None, true)?,
            None => {
                let found = pods.get(pod).await.map_err(refusal)?;
                let first = found.spec.and_then(|spec| spec.containers.into_iter().next());
                first.map(|container| container.name).context("the pod has no container")?
            }
        };
        let parameters =
            AttachParams { container: Some(container), stdin, stdout: !stdin, stderr: true, ..AttachParams::default() };
        pods.exec(pod, command, &parameters).await.map_err(refusal)
    }
}

/// Waits for the other side's tar; what it complains about is the error.
async fn end(mut process: AttachedProcess) -> anyhow::Result<()> {
    let status = process.take_status().context("the server gave no status stream")?;
    let mut said = String::new();
    let stderr = process.stderr();
    let read = async {
        if let Some(stderr) = stderr {
            stderr.take(COMPLAINTS).read_to_string(&mut said).await.ok();
        }
    };
    let ((), status) = tokio::join!(read, status);
    let status = status.context("the connection ended before the copy did")?;
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let said = said.trim();
    let said = if said.is_empty() { status.message.as_deref().unwrap_or("tar failed in the container") } else { said };
    bail!("{said}")
}

fn parse(text: &str) -> anyhow::Result<End<'_>> {
    let Some((pod, path)) = text.split_once(':') else { return Ok(End::Here(text)) };
    ensure!(!pod.is_empty() && !path.is_empty(), "filepath can not be empty: {text}");
    match pod.split_once('/') {
        _ if pod.starts_with(['/', '.']) => Ok(End::Here(text)),
        Some((namespace, pod)) => Ok(End::There { namespace: Some(namespace), pod, path }),
        None => Ok(End::There { namespace: None, pod, path }),
    }
}

/// Folder and name of a path.
fn split(path: &str) -> anyhow::Result<(String, String)> {
    let name = Path::new(path).file_name().with_context(|| format!("{path:?} names no file"))?;
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_string_lossy().into_owned(), name.to_string_lossy().into_owned()))
}

/// A name as a regular expression that matches itself alone.
fn escaped(name: &str) -> String {
    name.chars().flat_map(|c| if "\\.[]*^$|&;".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_copy() {
        for (text, expected) in [
            ("a/b", End::Here("a/b")),
            ("./a:b", End::Here("./a:b")),
            ("web:/etc", End::There { namespace: None, pod: "web", path: "/etc" }),
            ("demo/web:x", End::There { namespace: Some("demo"), pod: "web", path: "x" }),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert!(parse("web:").is_err() && parse(":x").is_err());
    }

    #[test]
    fn folders_and_names() {
        assert_eq!(split("/etc/hosts").unwrap(), ("/etc".into(), "hosts".into()));
        assert_eq!(split("hosts").unwrap(), (".".into(), "hosts".into()));
        assert!(split("/").is_err());
        assert_eq!(escaped("a.b"), "a\\.b");
    }
}
