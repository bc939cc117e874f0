//! Log lines on standard error, as text or JSON.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

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

/// What tells little at its usual levels.
const QUIET: &str =
    "hyper=warn,h2=warn,rustls=warn,tower=warn,kube=warn,hyper_util=warn,tonic=warn,hickory_server=warn";

/// Installs the process's log output. `KOGGE_LOG` (`level` and `target=level`, separated by commas) overrides the
/// verbosity. Does nothing when one is installed already, so that several components can share a process in tests.
pub fn init(options: &LogOptions) {
    let asked = std::env::var("KOGGE_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(true)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match options.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let filter = asked.unwrap_or_else(|| usual(options.verbosity));
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
        tracing::debug!("log output is installed already");
    }
}

fn usual(verbosity: u8) -> Targets {
    let level = match verbosity {
        0 | 1 => "info",
        2 | 3 => "debug",
        _ => "trace",
    };
    format!("{level},{QUIET}").parse().expect("levels and targets as written above")
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn verbosity() {
        let check = |verbosity, target, level, shown| {
            assert_eq!(usual(verbosity).would_enable(target, &level), shown, "-v={verbosity} {target} {level}");
        };
        check(0, "scheduler::binding", Level::INFO, true);
        check(0, "scheduler::binding", Level::DEBUG, false);
        check(2, "scheduler::binding", Level::DEBUG, true);
        check(4, "scheduler::binding", Level::TRACE, true);
        check(4, "hyper::proto", Level::INFO, false);
        check(0, "hyper_util::client", Level::WARN, true);
    }
}
