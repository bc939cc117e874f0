//! A Service: its addresses, its ports and what stands behind them.

use serde_json::Value;

use super::text::{Text, joined, list, word};
use crate::{
    output::jsonpath::shown,
    session::{Session, with_query},
};

pub async fn describe(text: &mut Text, session: &Session, service: &Value) -> anyhow::Result<()> {
    let (meta, spec) = (&service["metadata"], &service["spec"]);
    let (namespace, name) = (word(&meta["namespace"]), word(&meta["name"]));
    let path = with_query(
        &format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"),
        &[("labelSelector", &format!("kubernetes.io/service-name={name}"))],
    );
    let (slices, _) = session.list(&path).await?;
    text.field("Name", name);
    text.field("Namespace", namespace);
    text.labels(service);
    text.map("Selector", &spec["selector"], "=");
    text.field("Type", word(&spec["type"]));
    text.optional("IP Family Policy", &spec["ipFamilyPolicy"]);
    text.field("IP Families", joined(list(&spec["ipFamilies"]).iter().map(shown)));
    text.field("IP", word(&spec["clusterIP"]));
    text.field("IPs", joined(list(&spec["clusterIPs"]).iter().map(shown)));
    text.optional("External Name", &spec["externalName"]);
    let ingress = list(&service["status"]["loadBalancer"]["ingress"]);
    if !ingress.is_empty() {
        text.field("LoadBalancer Ingress", joined(ingress.iter().map(|i| shown(&i["ip"]) + word(&i["hostname"]))));
    }
    for port in list(&spec["ports"]) {
        let title = port["name"].as_str().filter(|n| !n.is_empty()).unwrap_or("<unset>");
        let protocol = word(&port["protocol"]);
        text.line(&format!("Port:\t{title}  {}/{protocol}", shown(&port["port"])));
        text.field("TargetPort", format!("{}/{protocol}", shown(&port["targetPort"])));
        if !port["nodePort"].is_null() {
            text.field("NodePort", format!("{title}  {}/{protocol}", shown(&port["nodePort"])));
        }
        text.field("Endpoints", endpoints(&slices, &port["name"]));
    }
    text.field("Session Affinity", word(&spec["sessionAffinity"]));
    text.optional("External Traffic Policy", &spec["externalTrafficPolicy"]);
    text.optional("Internal Traffic Policy", &spec["internalTrafficPolicy"]);
    Ok(())
}

/// The ready addresses of one port; the first three, and how many more.
fn endpoints(slices: &[Value], port: &Value) -> String {
    let mut found = vec![];
    for slice in slices {
        let wanted = list(&slice["ports"]).iter().find(|p| word(&p["name"]) == word(port));
        let Some(number) = wanted.map(|p| shown(&p["port"])) else { continue };
        let ready = list(&slice["endpoints"]).iter().filter(|e| e["conditions"]["ready"] != false);
        found.extend(ready.flat_map(|e| list(&e["addresses"])).map(|a| format!("{}:{number}", word(a))));
    }
    match found.len() {
        0 => String::new(),
        1..=3 => found.join(","),
        n => format!("{} + {} more...", found[..3].join(","), n - 3),
    }
}
