//! `kctl api-versions`: every group and version that the server serves.

use api_types::names::api_version;
use clap::Args;

use crate::session::Session;

#[derive(Args, Debug)]
pub struct ApiVersions {}

impl ApiVersions {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let known = &session.discovery().await?.group_versions;
        let mut names: Vec<_> = known.iter().map(|(group, version)| api_version(group, version)).collect();
        names.sort();
        names.iter().for_each(|name| println!("{name}"));
        Ok(())
    }
}
