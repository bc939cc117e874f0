//! A node: what it has, what runs on it, and how much of it is asked for.

use std::collections::BTreeMap;

use api_types::Quantity;
use serde_json::Value;

use super::text::{Text, list, word};
use crate::{
    commands::events,
    output::jsonpath::shown,
    session::{Session, with_query},
};

const ROLE: &str = "node-role.kubernetes.io/";

pub async fn describe(text: &mut Text, session: &Session, node: &Value) -> anyhow::Result<()> {
    let (meta, status) = (&node["metadata"], &node["status"]);
    let name = word(&meta["name"]);
    text.field("Name", name);
    let labels = meta["labels"].as_object().into_iter().flatten();
    let roles: Vec<_> = labels.filter_map(|(k, _)| k.strip_prefix(ROLE)).map(str::to_owned).collect();
    text.field("Roles", super::text::joined(roles));
    text.labels(node);
    text.field("CreationTimestamp", shown(&meta["creationTimestamp"]));
    let taints: Vec<_> = list(&node["spec"]["taints"])
        .iter()
        .map(|t| {
            let value = t["value"].as_str().filter(|v| !v.is_empty()).map(|v| format!("={v}")).unwrap_or_default();
            format!("{}{value}:{}", word(&t["key"]), word(&t["effect"]))
        })
        .collect();
    text.field("Taints", taints.first().map_or("<none>", String::as_str));
    taints.iter().skip(1).for_each(|taint| text.line(&format!("\t{taint}")));
    text.field("Unschedulable", (node["spec"]["unschedulable"] == true).to_string());
    lease(text, session, name).await;
    text.conditions(
        node,
        &[
            ("Type", "type"),
            ("Status", "status"),
            ("LastHeartbeatTime", "lastHeartbeatTime"),
            ("LastTransitionTime", "lastTransitionTime"),
            ("Reason", "reason"),
            ("Message", "message"),
        ],
    );
    text.line("Addresses:");
    text.indented(|text| {
        list(&status["addresses"]).iter().for_each(|a| text.field(word(&a["type"]), word(&a["address"])))
    });
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        text.line(&format!("{title}:"));
        let amounts = status[field].as_object().into_iter().flatten();
        text.indented(|text| amounts.for_each(|(name, amount)| text.field(name, shown(amount))));
    }
    text.line("System Info:");
    text.indented(|text| {
        for (title, field) in [
            ("Machine ID", "machineID"),
            ("System UUID", "systemUUID"),
            ("Boot ID", "bootID"),
            ("Kernel Version", "kernelVersion"),
            ("OS Image", "osImage"),
            ("Operating System", "operatingSystem"),
            ("Architecture", "architecture"),
            ("Container Runtime Version", "containerRuntimeVersion"),
            ("Kubelet Version", "kubeletVersion"),
        ] {
            text.field(title, word(&status["nodeInfo"][field]));
        }
    });
    text.optional("PodCIDR", &node["spec"]["podCIDR"]);
    pods(text, session, name, &status["allocatable"]).await
}

async fn lease(text: &mut Text, session: &Session, name: &str) {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    text.line("Lease:");
    let lease = session.get(&path).await.unwrap_or_default();
    let shown = |v: &Value| v.as_str().unwrap_or("<unset>").to_owned();
    text.indented(|text| {
        text.field("HolderIdentity", shown(&lease["spec"]["holderIdentity"]));
        text.field("AcquireTime", shown(&lease["spec"]["acquireTime"]));
        text.field("RenewTime", shown(&lease["spec"]["renewTime"]));
    });
}

async fn pods(text: &mut Text, session: &Session, node: &str, allocatable: &Value) -> anyhow::Result<()> {
    let fields = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
    let (pods, _) = session.list(&with_query("/api/v1/pods", &[("fieldSelector", &fields)])).await?;
    text.line(&format!("Non-terminated Pods:\t({} in total)", pods.len()));
    let mut total: BTreeMap<&str, [Quantity; 2]> = BTreeMap::new();
    text.indented(|text| {
        text.line("Namespace\tName\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
        text.line("---------\t----\t------------\t----------\t---------------\t-------------\t---");
        for pod in &pods {
            let mut cells =
                vec![word(&pod["metadata"]["namespace"]).to_owned(), word(&pod["metadata"]["name"]).to_owned()];
            for resource in ["cpu", "memory"] {
                for (n, field) in ["requests", "limits"].into_iter().enumerate() {
                    let amount = amount(pod, field, resource);
                    total.entry(resource).or_default()[n] += amount;
                    cells.push(share(amount, &allocatable[resource]));
                }
            }
            let created = pod["metadata"]["creationTimestamp"].as_str().and_then(|t| t.parse().ok());
            cells.push(events::age(created));
            text.line(&cells.join("\t"));
        }
    });
    text.line("Allocated resources:");
    text.indented(|text| {
        text.line("(Total limits may be over 100 percent, i.e., overcommitted.)");
        text.line("Resource\tRequests\tLimits");
        text.line("--------\t--------\t------");
        for resource in ["cpu", "memory"] {
            let [requests, limits] = total.get(resource).copied().unwrap_or_default();
            let of = &allocatable[resource];
            text.line(&format!("{resource}\t{}\t{}", share(requests, of), share(limits, of)));
        }
    });
    Ok(())
}

/// The sum over a pod's containers, or its largest init container.
fn amount(pod: &Value, field: &str, resource: &str) -> Quantity {
    let of =
        |c: &Value| c["resources"][field][resource].as_str().and_then(|q| Quantity::parse(q).ok()).unwrap_or_default();
    let sum: Quantity = list(&pod["spec"]["containers"]).iter().map(of).sum();
    list(&pod["spec"]["initContainers"]).iter().map(of).fold(sum, Ord::max)
}

/// `250m (12%)`
fn share(amount: Quantity, of: &Value) -> String {
    let whole = of.as_str().and_then(|q| Quantity::parse(q).ok()).map_or(0.0, |q| q.as_f64());
    let percent = if whole > 0.0 { (amount.as_f64() / whole * 100.0) as i64 } else { 0 };
    format!("{amount} ({percent}%)")
}
