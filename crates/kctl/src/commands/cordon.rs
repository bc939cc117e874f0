//! `kctl cordon` and `kctl uncordon`: whether new pods may come to a node.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    session::{PatchForm, Session, with_query},
    target::Selection,
};

#[derive(Args, Debug)]
pub struct Cordon {
    /// The nodes
    nodes: Vec<String>,
    /// Nodes with these labels
    #[arg(long, short = 'l')]
    selector: Option<String>,
}

impl Cordon {
    pub async fn run(self, session: &Session, unschedulable: bool) -> anyhow::Result<()> {
        for node in nodes(session, &self.nodes, self.selector.as_deref()).await? {
            set(session, &node, unschedulable).await?;
        }
        Ok(())
    }
}

/// The nodes that are named or selected.
pub async fn nodes(session: &Session, names: &[String], selector: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let resource = session.discovery().await?.find("nodes")?.clone();
    if names.is_empty() && selector.is_none() {
        bail!("error: specify a node name or a selector");
    }
    let target = |name: Option<String>| crate::target::Target { resource: resource.clone(), name };
    let (targets, selection) = match selector {
        Some(selector) => {
            (vec![target(None)], Selection { selector: Some(selector.to_owned()), ..Selection::default() })
        }
        None => {
            let bare = |n: &String| n.trim_start_matches("node/").trim_start_matches("nodes/").to_owned();
            (names.iter().map(|n| target(Some(bare(n)))).collect(), Selection::default())
        }
    };
    Ok(session.objects(&targets, &selection).await?.into_iter().map(|o| o.value).collect())
}

pub async fn set(session: &Session, node: &Value, unschedulable: bool) -> anyhow::Result<()> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let what = if unschedulable { "cordoned" } else { "uncordoned" };
    if node["spec"]["unschedulable"].as_bool().unwrap_or(false) == unschedulable {
        println!("node/{name} already {what}");
        return Ok(());
    }
    let value = if unschedulable { Value::Bool(true) } else { Value::Null };
    let path = with_query(&format!("/api/v1/nodes/{name}"), &[("fieldManager", "kctl-cordon")]);
    session.patch(&path, PatchForm::Strategic, &json!({"spec": {"unschedulable": value}})).await?;
    println!("node/{name} {what}");
    Ok(())
}
