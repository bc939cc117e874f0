//! `kctl taint`: what keeps pods off nodes.

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{WriteOptions, change, cordon};
use crate::{session::Session, target::Object};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

#[derive(Args, Debug)]
pub struct Taint {
    /// node NAME…, then KEY[=VALUE]:EFFECT, or KEY[:EFFECT]- to remove
    #[arg(required = true)]
    words: Vec<String>,
    /// Nodes with these labels
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// All nodes
    #[arg(long)]
    all: bool,
    /// Replace taints that are there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Add { key: String, value: String, effect: String },
    Remove { key: String, effect: Option<String> },
}

impl Taint {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let first = self.words.first().map(String::as_str).unwrap_or_default();
        ensure!(
            ["node", "nodes", "no"].contains(&first) || first.starts_with("node/"),
            "invalid resource type {first}, only node is supported"
        );
        let rest = self.words.iter().filter(|word| !["node", "nodes", "no"].contains(&word.as_str()));
        let (changes, names): (Vec<_>, Vec<_>) =
            rest.cloned().partition(|word| word.contains(':') || word.ends_with('-'));
        ensure!(!changes.is_empty(), "at least one taint update is required");
        let changes = changes.iter().map(|text| parse(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let selector = if self.all { Some("") } else { self.selector.as_deref() };
        let resource = session.discovery().await?.find("nodes")?.clone();
        for value in cordon::nodes(session, &names, selector).await? {
            let object = Object { resource: resource.clone(), value };
            let mut after = object.value.clone();
            for change in &changes {
                change.apply(&mut after, self.overwrite).with_context(|| format!("node {}", object.name()))?;
            }
            let adds = changes.iter().any(|change| matches!(change, Change::Add { .. }));
            let removes = changes.iter().any(|change| matches!(change, Change::Remove { .. }));
            let what = match (adds, removes) {
                (true, true) => "modified",
                (true, false) => "tainted",
                _ => "untainted",
            };
            let value = change::send(session, &object, &after, &self.options, "kubectl-taint").await?.unwrap_or(after);
            self.options.say(&Object { resource: object.resource, value }, what)?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> anyhow::Result<Change> {
    let effect = |effect: &str| {
        ensure!(EFFECTS.contains(&effect), "invalid taint effect: {effect}, unsupported taint effect");
        Ok(effect.to_owned())
    };
    if let Some(text) = text.strip_suffix('-') {
        let (key, of) = text.split_once(':').map_or((text, None), |(key, of)| (key, Some(of)));
        let key = key.split('=').next().unwrap_or(key).to_owned();
        return Ok(Change::Remove { key, effect: of.map(effect).transpose()? });
    }
    let Some((head, of)) = text.rsplit_once(':') else { bail!("invalid taint spec: {text}") };
    let (key, value) = head.split_once('=').unwrap_or((head, ""));
    ensure!(!key.is_empty(), "invalid taint spec: {text}");
    Ok(Change::Add { key: key.into(), value: value.into(), effect: effect(of)? })
}

impl Change {
    fn apply(&self, node: &mut Value, overwrite: bool) -> anyhow::Result<()> {
        let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        match self {
            Self::Add { key, value, effect } => {
                let same = |taint: &Value| taint["key"] == key.as_str() && taint["effect"] == effect.as_str();
                let there =
                    taints.iter().any(|taint| same(taint) && taint["value"].as_str().unwrap_or_default() != value);
                if there && !overwrite {
                    bail!("already has {key} taint(s) with same effect(s) and --overwrite is false");
                }
                taints.retain(|taint| !same(taint));
                let mut taint = json!({"key": key, "effect": effect});
                if !value.is_empty() {
                    taint["value"] = value.clone().into();
                }
                taints.push(taint);
            }
            Self::Remove { key, effect } => {
                let before = taints.len();
                let meant = |taint: &Value| {
                    taint["key"] == key.as_str()
                        && effect.as_ref().is_none_or(|effect| taint["effect"] == effect.as_str())
                };
                taints.retain(|taint| !meant(taint));
                if taints.len() == before {
                    bail!(
                        "taint \"{key}{}\" not found",
                        effect.as_ref().map(|of| format!(":{of}")).unwrap_or_default()
                    );
                }
            }
        }
        node["spec"]["taints"] = taints.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(taints: Value, change: &str, expected: Result<Value, &str>) {
        let mut node = json!({"spec": {"taints": taints}});
        let done = parse(change).and_then(|change| change.apply(&mut node, false));
        let found = done.map(|()| node["spec"]["taints"].take()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{change}");
    }

    #[test]
    fn taints_come_and_go() {
        let one = json!({"key": "a", "effect": "NoSchedule", "value": "1"});
        check(json!([]), "a=1:NoSchedule", Ok(json!([one])));
        check(json!([one]), "a=1:NoSchedule", Ok(json!([one])));
        check(
            json!([one]),
            "a=2:NoSchedule",
            Err("already has a taint(s) with same effect(s) and --overwrite is false"),
        );
        check(json!([one]), "a-", Ok(json!([])));
        check(json!([one]), "a:NoSchedule-", Ok(json!([])));
        check(json!([one]), "a:NoExecute-", Err("taint \"a:NoExecute\" not found"));
        check(json!([]), "a=1:Sometimes", Err("invalid taint effect: Sometimes, unsupported taint effect"));
    }
}
