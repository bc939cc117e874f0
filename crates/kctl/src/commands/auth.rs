//! `kctl auth`: what this user may do, and who this user is.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{output::Columns, session::Session};

#[derive(Args, Debug)]
pub struct Auth {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Whether an action is allowed
    CanI(CanI),
    /// The user that the server sees
    Whoami {},
}

#[derive(Args, Debug)]
struct CanI {
    /// VERB TYPE, VERB TYPE/NAME or VERB /PATH
    words: Vec<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// List all that is allowed
    #[arg(long)]
    list: bool,
    /// Only the exit code
    #[arg(long, short)]
    quiet: bool,
    /// A subresource, such as log
    #[arg(long)]
    subresource: Option<String>,
}

impl Auth {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::CanI(question) if question.list => question.list(session).await,
            Action::CanI(question) => question.ask(session).await,
            Action::Whoami {} => whoami(session).await,
        }
    }
}

impl CanI {
    async fn ask(self, session: &Session) -> anyhow::Result<ExitCode> {
        let [verb, what] = self.words.as_slice() else {
            bail!("you must specify two arguments: verb resource or verb resource/resourceName");
        };
        let spec = if what.starts_with('/') {
            json!({"nonResourceAttributes": {"verb": verb, "path": what}})
        } else {
            let (kind, name) = what.split_once('/').unwrap_or((what, ""));
            let mut attributes = json!({"verb": verb, "name": name, "subresource": self.subresource});
            match session.discovery().await?.find(kind) {
                Ok(resource) => {
                    attributes["group"] = resource.group.clone().into();
                    attributes["resource"] = resource.plural.clone().into();
                }
                Err(_) => {
                    if kind != "*" {
                        eprintln!("Warning: the server doesn't have a resource type '{kind}'\n");
                    }
                    attributes["resource"] = kind.into();
                }
            }
            if !self.all_namespaces {
                attributes["namespace"] = session.namespace.clone().into();
            }
            json!({"resourceAttributes": attributes})
        };
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
        let answer = session.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        let allowed = answer["status"]["allowed"] == true;
        if !self.quiet {
            let why = answer["status"]["reason"].as_str().filter(|_| !allowed).unwrap_or_default();
            let why = if why.is_empty() { String::new() } else { format!(" - {why}") };
            println!("{}{why}", if allowed { "yes" } else { "no" });
        }
        Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn list(self, session: &Session) -> anyhow::Result<ExitCode> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": session.namespace},
        });
        let answer = session.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).await?;
        let mut table = Columns::table();
        table.row(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]);
        let shown = |v: &Value| {
            let items = v.as_array().map_or(&[][..], Vec::as_slice);
            format!("[{}]", items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        };
        for rule in answer["status"]["resourceRules"].as_array().into_iter().flatten() {
            let group = rule["apiGroups"][0].as_str().unwrap_or_default();
            for resource in rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let name = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                table.row([name, "[]".into(), shown(&rule["resourceNames"]), shown(&rule["verbs"])]);
            }
        }
        for rule in answer["status"]["nonResourceRules"].as_array().into_iter().flatten() {
            table.row([String::new(), shown(&rule["nonResourceURLs"]), "[]".into(), shown(&rule["verbs"])]);
        }
        print!("{}", table.render());
        Ok(ExitCode::SUCCESS)
    }
}

async fn whoami(session: &Session) -> anyhow::Result<ExitCode> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let user = &answer["status"]["userInfo"];
    let mut table = Columns::table();
    table.row(["ATTRIBUTE", "VALUE"]);
    table.row(["Username", user["username"].as_str().unwrap_or_default()]);
    let groups: Vec<_> = user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    table.row(["Groups".to_owned(), format!("[{}]", groups.join(" "))]);
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}
