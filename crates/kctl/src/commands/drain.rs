//! `kctl drain`: empties a node through evictions, which respect disruption budgets.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{cordon, delete, duration};
use crate::{
    session::{Refused, Session, with_query},
    target::Object,
};

/// How long to wait after an eviction that a budget refused, as kubectl does.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub struct Drain {
    /// The nodes
    nodes: Vec<String>,
    /// Nodes with these labels
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Leave pods of DaemonSets alone
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Also pods whose emptyDir data is lost
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Also pods that no controller will replace
    #[arg(long)]
    force: bool,
    /// Seconds each pod gets to end; -1 leaves it to the pod
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Give up after this long; 0s never
    #[arg(long, default_value = "0s")]
    timeout: String,
    /// Only these pods
    #[arg(long)]
    pod_selector: Option<String>,
    /// Delete instead of evicting, past disruption budgets
    #[arg(long)]
    disable_eviction: bool,
}

impl Drain {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let limit = duration(&self.timeout)?;
        let work = async {
            for node in cordon::nodes(session, &self.nodes, self.selector.as_deref()).await? {
                cordon::set(session, &node, true).await?;
                self.empty(session, node["metadata"]["name"].as_str().unwrap_or_default()).await?;
            }
            anyhow::Ok(())
        };
        if limit.is_zero() {
            return work.await;
        }
        match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("drain did not complete within {}", self.timeout),
        }
    }

    async fn empty(&self, session: &Session, node: &str) -> anyhow::Result<()> {
        let fields = format!("spec.nodeName={node}");
        let labels = self.pod_selector.as_deref().unwrap_or_default();
        let path = with_query("/api/v1/pods", &[("fieldSelector", &fields), ("labelSelector", labels)]);
        let (pods, _) = session.list(&path).await?;
        let (mut leaving, mut ignored, mut refused) = (vec![], vec![], vec![]);
        for pod in pods {
            match self.judge(&pod) {
                Verdict::Evict => leaving.push(pod),
                Verdict::Skip(why) => {
                    if !why.is_empty() {
                        ignored.push(title(&pod));
                    }
                }
                Verdict::Refuse(why) => refused.push(format!("{why}: {}", title(&pod))),
            }
        }
        if !refused.is_empty() {
            bail!("unable to drain node \"{node}\" due to error: [{}], continuing command...", refused.join(", "));
        }
        if !ignored.is_empty() {
            eprintln!("Warning: ignoring DaemonSet-managed Pods: {}", ignored.join(", "));
        }
        let resource = session.discovery().await?.find("pods")?.clone();
        let evictions = leaving.iter().map(|pod| self.evict(session, pod));
        for outcome in futures::future::join_all(evictions).await {
            outcome?;
        }
        for pod in leaving {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let object = Object { resource: resource.clone(), value: pod };
            delete::until_gone(session, &object, &uid).await?;
            println!("pod/{} evicted", object.name());
        }
        println!("node/{node} drained");
        Ok(())
    }

    fn judge(&self, pod: &Value) -> Verdict {
        let owners = pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        let controller = owners.iter().find(|o| o["controller"] == true);
        let finished = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
        let has_data = || {
            let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
            volumes.iter().any(|v| v.get("emptyDir").is_some())
        };
        if pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some() {
            return Verdict::Skip("");
        }
        if controller.is_some_and(|c| c["kind"] == "DaemonSet") && !finished {
            if self.ignore_daemonsets {
                return Verdict::Skip("daemonset");
            }
            return Verdict::Refuse("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)");
        }
        if finished {
            return Verdict::Evict;
        }
        if has_data() && !self.delete_emptydir_data {
            return Verdict::Refuse("cannot delete Pods with local storage (use --delete-emptydir-data to override)");
        }
        if controller.is_none() && !self.force {
            return Verdict::Refuse("cannot delete Pods that declare no controller (use --force to override)");
        }
        Verdict::Evict
    }

    async fn evict(&self, session: &Session, pod: &Value) -> anyhow::Result<()> {
        let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            namespace.as_str().unwrap_or_default(),
            name.as_str().unwrap_or_default()
        );
        let mut options = json!({"preconditions": {"uid": pod["metadata"]["uid"]}});
        if self.grace_period >= 0 {
            options["gracePeriodSeconds"] = self.grace_period.into();
        }
        eprintln!("evicting pod {}", title(pod));
        loop {
            let outcome = if self.disable_eviction {
                session.delete(&path, &options).await
            } else {
                let eviction = json!({
                    "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
                    "metadata": {"name": name, "namespace": namespace},
                });
                session.create(&format!("{path}/eviction"), &eviction).await
            };
            match outcome {
                Ok(_) => return Ok(()),
                // Gone already, or another pod of that name by now.
                Err(error) if matches!(Refused::code(&error), Some(404 | 409)) => return Ok(()),
                Err(error) if Refused::code(&error) == Some(429) => {
                    eprintln!("error when evicting pods/{} (will retry after 5s): {error:#}", title(pod));
                    sleep(AGAIN).await;
                }
                Err(error) => return Err(error.context(format!("error when evicting pod {}", title(pod)))),
            }
        }
    }
}

enum Verdict {
    Evict,
    /// With a word for the warning, or silently.
    Skip(&'static str),
    Refuse(&'static str),
}

fn title(pod: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]))
}
