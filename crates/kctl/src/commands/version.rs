//! `kctl version`: ours and the server's.

use clap::Args;
use serde_json::json;

use crate::{output, session::GlobalOptions};

#[derive(Args, Debug)]
pub struct Version {
    /// Only this program's
    #[arg(long)]
    client: bool,
    /// json or yaml
    #[arg(long, short)]
    output: Option<String>,
}

impl Version {
    pub async fn run(self, global: &GlobalOptions) -> anyhow::Result<()> {
        let server = if self.client { None } else { Some(global.connect().await?.get("/version").await?) };
        let mut all = json!({"clientVersion": {"gitVersion": component::version::GIT_VERSION, "kogge": component::version::KOGGE}});
        if let Some(server) = &server {
            all["serverVersion"] = server.clone();
        }
        match self.output.as_deref() {
            Some("json") => println!("{}", output::pretty(&all)?),
            Some("yaml") => print!("{}", output::yaml(&all)?),
            Some(other) => anyhow::bail!("--output must be 'yaml' or 'json', not {other:?}"),
            None => {
                println!("Client Version: {}", component::version::GIT_VERSION);
                if let Some(server) = server {
                    println!("Server Version: {}", server["gitVersion"].as_str().unwrap_or("unknown"));
                }
            }
        }
        Ok(())
    }
}
