//! Log lines on standard error, as text or JSON.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Args, Clone, Debug, Default)]
pub struct LogOptions {
    /// Verbosity: 0 information, 2 debug, 4 trace
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
    /// Form of log lines
    #[arg(long = "logging-format", alias = "log-format", value_enum, default_value_t = LogFormat::Text)]
    pub format: LogFormat,
}

/// Installs the process's log output. `KOGGE_LOG` (tracing's filter syntax) overrides the verbosity.
/// Does nothing when one is installed already, so that several components can share a process in tests.
pub fn init(options: &LogOptions) {
    let level = match options.verbosity {
        0 | 1 => "info",
        2 | 3 => "debug",
        _ => "trace",
    };
    let quiet = "hyper=warn,h2=warn,rustls=warn,tower=warn,kube=warn,hyper_util=warn,tonic=warn,hickory_server=warn";
    let filter = EnvFilter::try_from_env("KOGGE_LOG").unwrap_or_else(|_| EnvFilter::new(format!("{level},{quiet}")));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true)
        .with_ansi(std::io::stderr().is_terminal());
    let installed = match options.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    if installed.is_err() {
        tracing::debug!("log output is installed already");
    }
}
