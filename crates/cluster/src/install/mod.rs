//! A cluster of real machines: what `kctl cluster init` and `join` put on each, for the units of `deploy/systemd` to run.
//!
//! The first machine decides ([`record`]), and everything on its disk follows from that decision ([`files`], pure). A
//! machine that joins finds out what was decided, trusts it because it knows a token ([`discovery`]), and asks for its
//! certificates ([`request`]). Nothing here runs a component: that is systemd's business ([`units`]).

mod addons;
mod discovery;
mod files;
mod init;
mod join;
mod record;
mod renew;
mod request;
mod reset;
mod tokens;
mod units;
mod write;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::progress::Progress;

pub use addons::apply as addons;
pub use init::{InitOptions, init};
pub use join::{JoinOptions, join};
pub use renew::renew;
pub use reset::{is_installed, reset};
pub use tokens::{NewToken, Token, create as create_token, delete as delete_token, join_command, list as list_tokens};

/// The longest that one step may take on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of `init` or `join`.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The units that this machine runs.
    pub units: Vec<&'static str>,
    /// Whether they were started.
    pub started: bool,
    /// What to type on further machines, where that is known.
    pub join: Option<String>,
}

/// Tells of a step, bounds its time, and says where to look when it fails.
async fn step<T>(
    progress: &dyn Progress,
    name: &str,
    work: impl Future<Output = anyhow::Result<(T, String)>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    progress.begin(name);
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => {
            let (value, detail) = done.with_context(|| format!("{name} failed"))?;
            progress.end(name, begun.elapsed(), &detail);
            Ok(value)
        }
        Err(_) => bail!("{name}: nothing after {} s; see `journalctl -u 'kogge-*'`", PATIENCE.as_secs()),
    }
}
