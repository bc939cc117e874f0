//! `kctl config`: reads and changes the kubeconfig file, the one that kubectl reads.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    output::{self, Columns},
    session::GlobalOptions,
};

#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the configuration
    View {
        /// Show secrets as they are
        #[arg(long)]
        raw: bool,
        /// Only what the current context uses
        #[arg(long)]
        minify: bool,
        /// yaml or json
        #[arg(long, short, default_value = "yaml")]
        output: String,
    },
    /// Show the current context
    CurrentContext,
    /// List the contexts
    GetContexts,
    /// List the clusters
    GetClusters,
    /// List the users
    GetUsers,
    /// Make another context the current one
    #[command(alias = "use")]
    UseContext { name: String },
    /// Create or change a context
    SetContext {
        /// The context; --current is the current one
        name: Option<String>,
        #[arg(long)]
        current: bool,
    },
    /// Remove a context
    DeleteContext { name: String },
}

impl Config {
    pub fn run(self, global: &GlobalOptions) -> anyhow::Result<()> {
        match self.action {
            Action::View { raw, minify, output } => {
                let mut merged = serde_json::to_value(global.kubeconfig()?)?;
                if minify {
                    keep_current(&mut merged, global.context.as_deref());
                }
                if !raw {
                    redact(&mut merged);
                }
                match output.as_str() {
                    "json" => println!("{}", output::pretty(&merged)?),
                    "yaml" => print!("{}", output::yaml(&merged)?),
                    other => bail!("unknown output format {other:?}: yaml or json"),
                }
            }
            Action::CurrentContext => {
                println!("{}", global.kubeconfig()?.current_context.context("current-context is not set")?);
            }
            Action::GetContexts => contexts(global)?,
            Action::GetClusters => {
                println!("NAME");
                global.kubeconfig()?.clusters.iter().for_each(|c| println!("{}", c.name));
            }
            Action::GetUsers => {
                println!("NAME");
                global.kubeconfig()?.auth_infos.iter().for_each(|u| println!("{}", u.name));
            }
            Action::UseContext { name } => edit(global, |file| {
                if find(file, "contexts", &name).is_none() {
                    bail!("no context exists with the name: \"{name}\"");
                }
                file["current-context"] = name.clone().into();
                println!("Switched to context \"{name}\".");
                Ok(())
            })?,
            Action::SetContext { name, current } => edit(global, |file| {
                let name = match (name, current) {
                    (Some(name), false) => name,
                    (None, true) => file["current-context"].as_str().context("no current context is set")?.to_owned(),
                    _ => bail!("you must specify a non-empty context name or --current"),
                };
                set_context(file, &name, global)
            })?,
            Action::DeleteContext { name } => edit(global, |file| {
                let contexts = file["contexts"].as_array_mut().context("no contexts are set")?;
                let before = contexts.len();
                contexts.retain(|c| c["name"] != name.as_str());
                if contexts.len() == before {
                    bail!("cannot delete context {name}, not in the file");
                }
                println!("deleted context {name}");
                Ok(())
            })?,
        }
        Ok(())
    }
}

fn contexts(global: &GlobalOptions) -> anyhow::Result<()> {
    let kubeconfig = serde_json::to_value(global.kubeconfig()?)?;
    let mut table = Columns::table();
    table.row(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]);
    for entry in kubeconfig["contexts"].as_array().into_iter().flatten() {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let mark = if entry["name"] == kubeconfig["current-context"] { "*" } else { "" };
        let context = &entry["context"];
        table.row([
            mark.into(),
            text(&entry["name"]),
            text(&context["cluster"]),
            text(&context["user"]),
            text(&context["namespace"]),
        ]);
    }
    print!("{}", table.render());
    Ok(())
}

fn find<'a>(file: &'a mut Value, list: &str, name: &str) -> Option<&'a mut Value> {
    file[list].as_array_mut()?.iter_mut().find(|entry| entry["name"] == name)
}

fn set_context(file: &mut Value, name: &str, global: &GlobalOptions) -> anyhow::Result<()> {
    let known = find(file, "contexts", name).is_some();
    if !known {
        if !file["contexts"].is_array() {
            file["contexts"] = json!([]);
        }
        if let Some(all) = file["contexts"].as_array_mut() {
            all.push(json!({"name": name, "context": {"cluster": "", "user": ""}}));
        }
    }
    let entry = find(file, "contexts", name).context("the context was just made")?;
    for (field, value) in
        [("cluster", &global.kubeconfig_cluster), ("user", &global.user), ("namespace", &global.namespace)]
    {
        if let Some(value) = value {
            entry["context"][field] = value.clone().into();
        }
    }
    println!("Context \"{name}\" {}.", if known { "modified" } else { "created" });
    Ok(())
}

/// Changes the file that holds the configuration: `--kubeconfig`, the first of `KUBECONFIG`, or `~/.kube/config`.
fn edit(global: &GlobalOptions, change: impl FnOnce(&mut Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let from_env =
        || std::env::var_os("KUBECONFIG").and_then(|v| std::env::split_paths(&v).find(|p| !p.as_os_str().is_empty()));
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".kube/config"));
    let path = global.kubeconfig.clone().or_else(from_env).or_else(home).context("HOME is not set")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut file = component::config::yaml(&text).with_context(|| format!("cannot read {}", path.display()))?;
    change(&mut file)?;
    // Written beside and moved into place, so that a crash leaves the former file.
    let beside = path.with_extension(format!("kctl-{}", std::process::id()));
    std::fs::write(&beside, output::yaml(&file)?).with_context(|| format!("cannot write {}", beside.display()))?;
    let mode = std::fs::metadata(&path)?.permissions();
    std::fs::set_permissions(&beside, mode)?;
    std::fs::rename(&beside, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn keep_current(config: &mut Value, context: Option<&str>) {
    let name = context.map(Value::from).unwrap_or(config["current-context"].clone());
    let context = config["contexts"].as_array().and_then(|all| all.iter().find(|c| c["name"] == name)).cloned();
    let Some(context) = context else { return };
    for (list, wanted) in
        [("contexts", &name), ("clusters", &context["context"]["cluster"]), ("users", &context["context"]["user"])]
    {
        if let Some(all) = config[list].as_array_mut() {
            all.retain(|entry| entry["name"] == *wanted);
        }
    }
}

fn redact(config: &mut Value) {
    for entry in config["users"].as_array_mut().into_iter().flatten() {
        for (field, text) in [
            ("client-certificate-data", "DATA+OMITTED"),
            ("client-key-data", "DATA+OMITTED"),
            ("token", "REDACTED"),
            ("password", "REDACTED"),
        ] {
            if entry["user"].get(field).is_some_and(|v| !v.is_null()) {
                entry["user"][field] = text.into();
            }
        }
    }
    for entry in config["clusters"].as_array_mut().into_iter().flatten() {
        if entry["cluster"].get("certificate-authority-data").is_some_and(|v| !v.is_null()) {
            entry["cluster"]["certificate-authority-data"] = "DATA+OMITTED".into();
        }
    }
}
