//! `kctl exec`: runs a command in a container, with this terminal if asked; its exit code becomes ours.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess, TerminalSize},
};
use nix::sys::termios;
use tokio::{
    io::{AsyncWriteExt, copy},
    signal::unix::{SignalKind, signal},
};

use super::logs::{container_of, pod_of};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Exec {
    /// POD or TYPE/NAME
    pod: String,
    /// The container
    #[arg(long, short)]
    container: Option<String>,
    /// Pass standard input
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(long, short = 't')]
    tty: bool,
    /// Only what the command prints
    #[arg(long, short)]
    quiet: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let pod = pod_of(session, &self.pod).await?;
        let container = container_of(&pod, self.container.as_deref(), !self.quiet)?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(&session.namespace);
        let tty = self.tty && std::io::stdin().is_terminal();
        if self.tty && !tty {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        let parameters = AttachParams {
            container: Some(container),
            stdin: self.stdin,
            stdout: true,
            stderr: !tty,
            tty,
            ..AttachParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
        let process = pods.exec(name, &self.command, &parameters).await.map_err(refusal)?;
        let raw = tty.then(RawTerminal::enter).transpose()?;
        let outcome = attend(process, tty).await;
        drop(raw);
        outcome
    }
}

/// The server's refusal as every other command words it.
pub fn refusal(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => {
            let wire = serde_json::to_value(&*status).and_then(serde_json::from_value);
            wire.map_or_else(|_| anyhow::anyhow!("{}", status.message), |status| crate::session::Refused(status).into())
        }
        other => anyhow::anyhow!(other).context("error sending request"),
    }
}

/// Passes everything on in both directions until the process ends.
pub async fn attend(mut process: AttachedProcess, tty: bool) -> anyhow::Result<ExitCode> {
    let status = process.take_status().context("the server gave no status stream")?;
    if let Some(mut stdin) = process.stdin() {
        tokio::spawn(async move {
            if copy(&mut tokio::io::stdin(), &mut stdin).await.is_ok() {
                // The other end may have left already; its exit code is what counts.
                stdin.shutdown().await.ok();
            }
        });
    }
    if let Some(mut sizes) = process.terminal_size().filter(|_| tty) {
        let mut changed = signal(SignalKind::window_change())?;
        tokio::spawn(async move {
            while let Some((height, width)) = terminal_size() {
                if futures::SinkExt::send(&mut sizes, TerminalSize { height, width }).await.is_err() {
                    break;
                }
                changed.recv().await;
            }
        });
    }
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let out = async {
        if let Some(mut stdout) = stdout {
            let mut ours = tokio::io::stdout();
            copy(&mut stdout, &mut ours).await?;
            ours.flush().await?;
        }
        std::io::Result::Ok(())
    };
    let err = async {
        if let Some(mut stderr) = stderr {
            let mut ours = tokio::io::stderr();
            copy(&mut stderr, &mut ours).await?;
            ours.flush().await?;
        }
        std::io::Result::Ok(())
    };
    let (out, err, status) = tokio::join!(out, err, status);
    out.and(err).context("cannot pass on the command's output")?;
    let status = status.context("the connection ended before the command did")?;
    if status.status.as_deref() == Some("Success") {
        return Ok(ExitCode::SUCCESS);
    }
    let causes = status.details.and_then(|d| d.causes).unwrap_or_default();
    let exit_code = causes.iter().find(|c| c.reason.as_deref() == Some("ExitCode"));
    let code: Option<u8> = exit_code.and_then(|c| c.message.as_deref()?.parse().ok());
    match code {
        Some(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(code))
        }
        None => anyhow::bail!("{}", status.message.unwrap_or_else(|| "the command could not be run".into())),
    }
}

/// Rows and columns of this terminal.
#[allow(unsafe_code, reason = "TIOCGWINSZ has no safe wrapper in nix")]
fn terminal_size() -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the given place, which outlives the call.
    let outcome = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    (outcome == 0 && size.ws_row > 0).then_some((size.ws_row, size.ws_col))
}

/// The terminal passes every key on, until this is dropped.
pub struct RawTerminal(termios::Termios);

impl RawTerminal {
    pub fn enter() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let former = termios::tcgetattr(&stdin).context("cannot read the terminal's mode")?;
        let mut raw = former.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, termios::SetArg::TCSADRAIN, &raw).context("cannot set the terminal's mode")?;
        Ok(Self(former))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Err(error) = termios::tcsetattr(std::io::stdin(), termios::SetArg::TCSADRAIN, &self.0) {
            eprintln!("cannot restore the terminal: {error}");
        }
    }
}
