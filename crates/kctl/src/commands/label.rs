//! `kctl label`: adds, changes and removes labels.

use clap::Args;

use super::annotate::{Marks, Tag};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Label {
    #[command(flatten)]
    tag: Tag,
}

impl Label {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        self.tag.run(session, Marks::Labels).await
    }
}
