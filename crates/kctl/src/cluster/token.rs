//! `kctl cluster token …`: bootstrap tokens, as kubeadm shows them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use cluster::install::{self, NewToken};

use super::Root;
use crate::{commands, output::Columns, session::Session};

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token with which machines can join
    Create(Create),
    /// Show the tokens there are
    List {},
    /// Delete tokens
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Create {
    /// ID.SECRET [default: random]
    wanted: Option<String>,
    /// How long it holds, such as 2h; 0 for ever
    #[arg(long, default_value = "24h")]
    ttl: String,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
    /// Further groups of whoever shows it
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// What it may be used for
    #[arg(long, value_delimiter = ',', default_values = ["signing", "authentication"])]
    usages: Vec<String>,
    /// Print what to type on a machine that is to join
    #[arg(long)]
    print_join_command: bool,
    #[command(flatten)]
    root: Root,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// IDs or whole tokens
    #[arg(required = true)]
    tokens: Vec<String>,
}

impl Token {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(session).await?,
            Self::List {} => list(session).await?,
            Self::Delete(delete) => {
                for token in &delete.tokens {
                    let id = install::delete_token(&session.client, token).await?;
                    println!("bootstrap token {id:?} deleted");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let defaults = NewToken::default();
        let new = NewToken {
            token: self.wanted,
            ttl: commands::duration(&self.ttl)?,
            description: self.description,
            groups: if self.groups.is_empty() { defaults.groups } else { self.groups },
            usages: self.usages,
        };
        let token = install::create_token(&session.client, &new).await?;
        match self.print_join_command {
            true => println!("{}", install::join_command(&session.server, &self.root.root, &token)?),
            false => println!("{token}"),
        }
        Ok(())
    }
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut table = Columns::table();
    table.row(["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"]);
    let now = component::Clock::now(&component::SystemClock);
    for token in install::list_tokens(&session.client).await? {
        let ttl = token.expires.map(|ends| api_rules::table::duration::since(Some(now), ends));
        let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
        table.row([
            token.token,
            ttl.unwrap_or_else(|| "<forever>".into()),
            token.expires.map_or_else(|| "<never>".into(), |ends| ends.to_string()),
            token.usages.join(","),
            or(token.description, "<none>"),
            or(token.groups.join(","), "<none>"),
        ]);
    }
    print!("{}", table.render());
    Ok(())
}
