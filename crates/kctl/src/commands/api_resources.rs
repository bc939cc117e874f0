//! `kctl api-resources`: every kind that the server serves.

use clap::Args;

use crate::{output::Columns, session::Session};

#[derive(Args, Debug)]
pub struct ApiResources {
    /// Only namespaced kinds (true) or cluster-wide ones (false)
    #[arg(long, action = clap::ArgAction::Set)]
    namespaced: Option<bool>,
    /// Only this group
    #[arg(long)]
    api_group: Option<String>,
    /// Only kinds with all of these verbs
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
    /// name or wide
    #[arg(long, short)]
    output: Option<String>,
    /// Do not print headers
    #[arg(long)]
    no_headers: bool,
}

impl ApiResources {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mut found: Vec<_> = session.discovery().await?.resources.iter().collect();
        found.retain(|r| {
            self.namespaced.is_none_or(|wanted| wanted == r.namespaced)
                && self.api_group.as_ref().is_none_or(|group| *group == r.group)
                && self.verbs.iter().all(|v| r.can(v))
        });
        found.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        let wide = self.output.as_deref() == Some("wide");
        let mut table = Columns::table();
        if !self.no_headers && self.output.as_deref() != Some("name") {
            let mut headers = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
            if wide {
                headers.extend(["VERBS", "CATEGORIES"]);
            }
            table.row(headers);
        }
        for r in found {
            if self.output.as_deref() == Some("name") {
                println!("{}", r.full_name());
                continue;
            }
            let mut cells = vec![
                r.plural.clone(),
                r.short_names.join(","),
                r.api_version(),
                r.namespaced.to_string(),
                r.kind.clone(),
            ];
            if wide {
                cells.extend([r.verbs.join(","), r.categories.join(",")]);
            }
            table.row(cells);
        }
        print!("{}", table.render());
        Ok(())
    }
}
