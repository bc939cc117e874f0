//! The commands that work through the API, one file each.

pub mod annotate;
pub mod api_resources;
pub mod api_versions;
pub mod apply;
pub mod attach;
pub mod auth;
pub mod change;
pub mod cluster_info;
pub mod completion;
pub mod config;
pub mod cordon;
pub mod cp;
pub mod create;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod drain;
pub mod edit;
pub mod events;
pub mod exec;
pub mod explain;
pub mod expose;
pub mod get;
pub mod label;
pub mod logs;
pub mod patch;
pub mod port_forward;
pub mod replace;
pub mod rollout;
pub mod run;
pub mod scale;
pub mod server_side;
pub mod set;
pub mod taint;
pub mod version;
pub mod wait;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::output::Format;

/// Whether a write is only tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    #[default]
    None,
    /// Only print what would be sent
    Client,
    /// Let the server do everything but store it
    Server,
}

impl DryRun {
    fn parameter(self) -> &'static str {
        if self == Self::Server { "All" } else { "" }
    }

    fn note(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// What commands that write have in common.
#[derive(Args, Clone, Debug, Default)]
pub struct WriteOptions {
    /// Only try: client prints the object, server goes all the way but storing
    #[arg(long, value_enum, default_value_t = DryRun::None, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
    /// Output format: yaml, json, name, jsonpath=…
    #[arg(long, short)]
    pub output: Option<Format>,
    /// The name under which changes are recorded
    #[arg(long)]
    pub field_manager: Option<String>,
    /// What to do about unknown fields: strict refuses, warn says so, ignore keeps quiet
    #[arg(long, default_value = "strict")]
    pub validate: String,
}

impl WriteOptions {
    fn manager<'a>(&'a self, default: &'a str) -> &'a str {
        self.field_manager.as_deref().unwrap_or(default)
    }

    fn validation(&self) -> &'static str {
        match self.validate.as_str() {
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            _ => "Strict",
        }
    }
}

/// `KEY=VALUE` words as a JSON object.
pub fn pairs(words: &[String]) -> anyhow::Result<Map<String, Value>> {
    let pair = |word: &String| {
        let split = word.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = split.with_context(|| format!("{word:?} is not of the form KEY=VALUE"))?;
        Ok((key.to_owned(), Value::from(value)))
    };
    words.iter().map(pair).collect()
}

/// `90s`, `5m`, `1h30m`; a bare number is seconds.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => bail!("invalid duration {text:?}: use forms like 90s, 5m, 1h30m"),
        };
        total += number.parse::<f64>().map_err(|_| anyhow::anyhow!("invalid duration {text:?}"))? * scale;
        rest = after;
    }
    Ok(Duration::try_from_secs_f64(total)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("30", 30.0), ("90s", 90.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5m", 90.0)] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        assert!(duration("5x").is_err() && duration("x").is_err());
    }
}
