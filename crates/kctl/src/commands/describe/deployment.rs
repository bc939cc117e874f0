//! A Deployment: how many replicas it has, how it rolls out, which ReplicaSets are its own.

use serde_json::Value;

use super::{
    pod::describe_container,
    text::{Text, joined, list, word},
};
use crate::{commands::rollout, output::jsonpath::shown, session::Session, target::Object};

pub async fn describe(text: &mut Text, session: &Session, object: &Object) -> anyhow::Result<()> {
    let deployment = &object.value;
    let (meta, spec, status) = (&deployment["metadata"], &deployment["spec"], &deployment["status"]);
    text.field("Name", word(&meta["name"]));
    text.field("Namespace", word(&meta["namespace"]));
    text.field("CreationTimestamp", shown(&meta["creationTimestamp"]));
    text.labels(deployment);
    let selector: api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector =
        serde_json::from_value(spec["selector"].clone()).unwrap_or_default();
    let selector = api_types::selector::Selector::from_label_selector(&selector)?;
    text.field("Selector", selector.to_string());
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    text.field(
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            shown(&spec["replicas"]),
            number("updatedReplicas"),
            number("replicas"),
            number("availableReplicas"),
            number("unavailableReplicas")
        ),
    );
    text.field("StrategyType", word(&spec["strategy"]["type"]));
    text.field("MinReadySeconds", spec["minReadySeconds"].as_i64().unwrap_or(0).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if !rolling.is_null() {
        let (down, up) = (shown(&rolling["maxUnavailable"]), shown(&rolling["maxSurge"]));
        text.field("RollingUpdateStrategy", format!("{down} max unavailable, {up} max surge"));
    }
    text.line("Pod Template:");
    text.indented(|text| {
        let template = &spec["template"];
        text.labels(template);
        text.optional("Service Account", &template["spec"]["serviceAccountName"]);
        for (title, field) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
            let containers = list(&template["spec"][field]);
            if !containers.is_empty() {
                text.line(&format!("{title}:"));
                text.indented(|text| containers.iter().for_each(|c| describe_container(text, c, &Value::Null)));
            }
        }
        let volumes = list(&template["spec"]["volumes"]).iter().map(|v| word(&v["name"]).to_owned());
        text.field("Volumes", joined(volumes));
        text.map("Node-Selectors", &template["spec"]["nodeSelector"], "=");
    });
    text.conditions(deployment, &[("Type", "type"), ("Status", "status"), ("Reason", "reason")]);
    let sets = rollout::revisions(session, object).await?;
    let line = |set: &Value| {
        let (have, want) = (set["status"]["replicas"].as_i64().unwrap_or(0), shown(&set["spec"]["replicas"]));
        format!("{} ({have}/{want} replicas created)", word(&set["metadata"]["name"]))
    };
    let (new, old) = sets.split_last().map_or((None, &[][..]), |(new, old)| (Some(new), old));
    text.field("OldReplicaSets", joined(old.iter().map(line)));
    text.field("NewReplicaSet", new.map_or_else(|| "<none>".into(), line));
    Ok(())
}
