//! Asking extenders, in upstream's protocol (`k8s.io/kube-scheduler/extender/v1`): one document posted for each verb.
//!
//! They are sent pods, and nodes unless they know those themselves, as the API server has them: what the brain keeps of
//! an object is too little for them. The loop waits for their answers; each has its own time limit.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, ensure};
use api_types::{k8s_openapi::api::core::v1 as core, object::Watched};
use client::{Api, Outside, kubeconfig};
use futures::future::join_all;
use http::Method;
use scheduling::{
    Placement,
    cluster::Resident,
    extenders::{Answer, Candidate, Extender, PreemptionAnswer, PreemptionQuestion, Question, Refused},
    object::Pod,
    queue::Waiting,
};
use serde_json::{Map, Value, json};

#[derive(Clone)]
pub struct Extenders {
    api: Api,
    all: Arc<[Remote]>,
}

struct Remote {
    config: Extender,
    server: Outside,
}

impl Extenders {
    /// # Errors
    /// When an URL or a certificate cannot be used.
    pub fn new(api: Api, configs: &[Extender]) -> anyhow::Result<Self> {
        let remote = |config: &Extender| {
            let server = server(config).with_context(|| format!("extender {}", config.url_prefix))?;
            Ok(Remote { config: config.clone(), server })
        };
        Ok(Self { api, all: configs.iter().map(remote).collect::<anyhow::Result<_>>()? })
    }

    /// Which of the nodes the extenders leave, each asked about what the former has left, and their points.
    pub async fn ask(&self, question: &Question) -> Answer {
        match self.choose(question).await {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(format!("{error:#}")),
        }
    }

    async fn choose(&self, question: &Question) -> anyhow::Result<Answer> {
        let pod = self.pod(&question.pod.pod).await?;
        let asked: Vec<&Remote> = question.extenders.iter().filter_map(|at| self.all.get(*at)).collect();
        let full = if asked.iter().all(|remote| remote.config.node_cache_capable) {
            BTreeMap::new()
        } else {
            self.nodes().await?
        };
        let place: BTreeMap<&str, usize> = question.nodes.iter().enumerate().map(|(at, name)| (&**name, at)).collect();
        let mut left: Vec<usize> = (0..question.nodes.len()).collect();
        let mut refused = Vec::new();
        for remote in asked.iter().filter(|remote| !remote.config.filter_verb.is_empty()) {
            if left.is_empty() {
                break;
            }
            let names: Vec<&str> = left.iter().map(|at| &*question.nodes[*at]).collect();
            match remote.filter(&pod, &names, &full).await {
                Ok(filtered) => {
                    left = filtered.passed.iter().filter_map(|name| place.get(name.as_str()).copied()).collect();
                    let known = filtered.refused.into_iter().filter_map(|(name, reason, resolvable)| {
                        Some(Refused { place: *place.get(name.as_str())?, reason, resolvable })
                    });
                    refused.extend(known);
                }
                Err(error) => remote.pass_over(error)?,
            }
        }
        let mut points = vec![0; question.nodes.len()];
        if left.len() > 1 {
            let names: Vec<&str> = left.iter().map(|at| &*question.nodes[*at]).collect();
            let raters = asked.iter().filter(|remote| !remote.config.prioritize_verb.is_empty());
            let rated = raters.map(|remote| {
                let (pod, names, full) = (&pod, &names, &full);
                async move { (remote, remote.prioritize(pod, names, full).await) }
            });
            for (remote, rated) in join_all(rated).await {
                match rated {
                    Ok(rated) => {
                        for (name, score) in rated {
                            if let Some(at) = place.get(name.as_str()) {
                                points[*at] += score.saturating_mul(remote.config.weight);
                            }
                        }
                    }
                    // A wish, not a condition.
                    Err(error) => tracing::warn!(extender = remote.config.url_prefix, "cannot prioritize: {error:#}"),
                }
            }
        }
        Ok(Answer::Nodes { passed: left.into_iter().map(|at| (at, points[at])).collect(), refused })
    }

    /// Which of the candidates the extenders leave, and with which victims.
    pub async fn ask_preemption(&self, question: &PreemptionQuestion) -> PreemptionAnswer {
        self.preempt(question).await.map_err(|error| format!("{error:#}"))
    }

    async fn preempt(&self, question: &PreemptionQuestion) -> anyhow::Result<Vec<Candidate>> {
        let pod = self.pod(&question.pod.pod).await?;
        let mut left = question.candidates.clone();
        for remote in question.extenders.iter().filter_map(|at| self.all.get(*at)) {
            if left.is_empty() {
                break;
            }
            let victims = if remote.config.node_cache_capable { BTreeMap::new() } else { self.victims(&left).await? };
            match remote.preempt(&pod, &left, &victims).await {
                Ok(kept) => left = kept,
                Err(error) => remote.pass_over(error)?,
            }
        }
        Ok(left)
    }

    /// Binds the pod through the extender that wants to; false if none does.
    ///
    /// # Errors
    /// When it could not, and must be heard.
    pub async fn bind(&self, placement: &Placement) -> anyhow::Result<bool> {
        let pod = &placement.pod.pod;
        let binds = |remote: &&Remote| !remote.config.bind_verb.is_empty() && remote.config.is_interested(&pod.shape);
        let Some(remote) = self.all.iter().find(binds) else { return Ok(false) };
        let binding = json!({"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid,
            "Node": placement.node});
        let bound = match remote.server.post(&remote.config.bind_verb, &binding).await {
            Ok(answer) => plain(answer).and_then(|answer| remote.error(&answer)),
            Err(error) => Err(error),
        };
        match bound {
            Ok(()) => Ok(true),
            Err(error) => remote.pass_over(error).map(|()| false),
        }
    }

    async fn pod(&self, pod: &Waiting) -> anyhow::Result<Value> {
        let path = Pod::RESOURCE.object_path(&pod.namespace, &pod.name);
        self.api.json::<Value>(Method::GET, &path, None).await.context("cannot read the pod for extenders")
    }

    async fn nodes(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let path = format!("{}?resourceVersion=0", <core::Node as Watched>::RESOURCE.collection_path(""));
        let list =
            self.api.json::<Value>(Method::GET, &path, None).await.context("cannot read the nodes for extenders")?;
        let Value::Array(items) = list["items"].clone() else { return Ok(BTreeMap::new()) };
        Ok(items.into_iter().map(|node| (text(&node["metadata"]["name"]), node)).collect())
    }

    /// By uid; those that are gone meanwhile are missing.
    async fn victims(&self, candidates: &[Candidate]) -> anyhow::Result<BTreeMap<Arc<str>, Value>> {
        let mut found = BTreeMap::new();
        for victim in candidates.iter().flat_map(|candidate| &candidate.victims) {
            let path = Pod::RESOURCE.object_path(&victim.held.peers.namespace, &victim.name);
            match self.api.json::<Value>(Method::GET, &path, None).await {
                Ok(pod) => found.insert(victim.uid.clone(), pod),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error).context("cannot read victims for extenders"),
            };
        }
        Ok(found)
    }
}

struct Filtered {
    passed: Vec<String>,
    /// Name, reason, and whether fewer pods might help.
    refused: Vec<(String, String, bool)>,
}

impl Remote {
    async fn filter(&self, pod: &Value, names: &[&str], full: &BTreeMap<String, Value>) -> anyhow::Result<Filtered> {
        let answer = plain(self.server.post(&self.config.filter_verb, &self.arguments(pod, names, full)).await?)?;
        self.error(&answer)?;
        let listed = |value: &Value| value.as_array().map(|list| list.iter().map(text).collect());
        let passed: Option<Vec<String>> = match answer.get("nodenames").and_then(listed) {
            Some(names) if self.config.node_cache_capable => Some(names),
            _ => answer.get("nodes").map(|list| {
                let nodes = list["items"].as_array().into_iter().flatten();
                nodes.map(|node| text(&node["metadata"]["name"])).collect()
            }),
        };
        let refusals = |field: &str, resolvable: bool| {
            let map = answer.get(field).and_then(Value::as_object).into_iter().flatten();
            map.map(move |(name, reason)| (name.clone(), text(reason), resolvable)).collect::<Vec<_>>()
        };
        let mut refused = refusals("failedandunresolvablenodes", false);
        let also = refusals("failednodes", true);
        refused.extend(also.into_iter().filter(|(name, ..)| !names_of(&answer, name)));
        Ok(Filtered { passed: passed.unwrap_or_default(), refused })
    }

    async fn prioritize(
        &self,
        pod: &Value,
        names: &[&str],
        full: &BTreeMap<String, Value>,
    ) -> anyhow::Result<Vec<(String, i64)>> {
        let answer = self.server.post(&self.config.prioritize_verb, &self.arguments(pod, names, full)).await?;
        let list = answer.as_array().context("its priorities are not a list")?;
        let rated = list.iter().cloned().map(|one| {
            let one = plain(one)?;
            let score = one.get("score").and_then(Value::as_i64).unwrap_or_default();
            Ok((one.get("host").map(text).unwrap_or_default(), score))
        });
        rated.collect()
    }

    async fn preempt(
        &self,
        pod: &Value,
        candidates: &[Candidate],
        full: &BTreeMap<Arc<str>, Value>,
    ) -> anyhow::Result<Vec<Candidate>> {
        let capable = self.config.node_cache_capable;
        let victims = |candidate: &Candidate| {
            let one = |victim: &Resident| {
                if capable { json!({"UID": victim.uid}) } else { full.get(&victim.uid).cloned().unwrap_or_default() }
            };
            let pods: Vec<Value> = candidate.victims.iter().map(one).collect();
            json!({"Pods": pods, "NumPDBViolations": candidate.broken_budgets})
        };
        let by_node: Map<String, Value> = candidates.iter().map(|c| (c.node.to_string(), victims(c))).collect();
        let field = if capable { "NodeNameToMetaVictims" } else { "NodeNameToVictims" };
        let answer = self.server.post(&self.config.preempt_verb, &json!({"Pod": pod, field: by_node})).await?;
        let answer = plain(answer)?;
        let kept = answer.get("nodenametometavictims").and_then(Value::as_object).into_iter().flatten();
        kept.map(|(node, victims)| self.kept(candidates, node, victims)).collect()
    }

    /// One node of the extender's choice, with those of its victims that are known here.
    fn kept(&self, candidates: &[Candidate], node: &str, victims: &Value) -> anyhow::Result<Candidate> {
        let known = candidates.iter().find(|candidate| *candidate.node == *node);
        let known = known.with_context(|| {
            format!("extender {} names the node {node:?}, which was not offered", self.config.url_prefix)
        })?;
        let victims = plain(victims.clone())?;
        let mut all = Vec::new();
        for pod in victims.get("pods").and_then(Value::as_array).into_iter().flatten() {
            let uid = plain(pod.clone())?.get("uid").map(text).unwrap_or_default();
            let victim = known.victims.iter().find(|victim| *victim.uid == *uid);
            let victim = victim.with_context(|| {
                format!("extender: {} claims to preempt pod (UID: {uid}) on node: {node}, but the pod is not found on that node", self.config.url_prefix)
            })?;
            all.push(victim.clone());
        }
        ensure!(!all.is_empty(), "expected at least one victim pod on node {node:?}");
        let broken = victims.get("numpdbviolations").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        Ok(Candidate { node: known.node.clone(), victims: all, broken_budgets: broken.unwrap_or_default() })
    }

    fn arguments(&self, pod: &Value, names: &[&str], full: &BTreeMap<String, Value>) -> Value {
        if self.config.node_cache_capable {
            return json!({"Pod": pod, "Nodes": null, "NodeNames": names});
        }
        let items: Vec<&Value> = names.iter().filter_map(|name| full.get(*name)).collect();
        let list = json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": items});
        json!({"Pod": pod, "Nodes": list, "NodeNames": null})
    }

    /// What the answer says went wrong.
    fn error(&self, answer: &Map<String, Value>) -> anyhow::Result<()> {
        let error = answer.get("error").map(text).unwrap_or_default();
        ensure!(error.is_empty(), "{error}");
        Ok(())
    }

    /// Goes on without an extender that may be passed over.
    fn pass_over(&self, error: anyhow::Error) -> anyhow::Result<()> {
        if !self.config.ignorable {
            return Err(error);
        }
        tracing::warn!(extender = self.config.url_prefix, "passed over: {error:#}");
        Ok(())
    }
}

fn names_of(answer: &Map<String, Value>, node: &str) -> bool {
    answer.get("failedandunresolvablenodes").is_some_and(|map| map.get(node).is_some())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Extenders write the names of fields as they like, which Go reads all the same.
fn plain(value: Value) -> anyhow::Result<Map<String, Value>> {
    let Value::Object(map) = value else { anyhow::bail!("its answer is not an object") };
    Ok(map.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect())
}

fn server(config: &Extender) -> anyhow::Result<Outside> {
    let tls = &config.tls_config;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (_, rest) = config.url_prefix.split_once("://").unwrap_or(("", &config.url_prefix));
    let secure = config.enable_https || config.url_prefix.starts_with("https:");
    let cluster = kubeconfig::Cluster {
        server: format!("{}://{rest}", if secure { "https" } else { "http" }),
        certificate_authority: given(&tls.ca_file),
        certificate_authority_data: given(&tls.ca_data),
        tls_server_name: given(&tls.server_name),
        // As upstream: without an authority nothing is proven.
        insecure_skip_tls_verify: tls.insecure || tls.ca_file.is_empty() && tls.ca_data.is_empty(),
    };
    let user = kubeconfig::User {
        client_certificate: given(&tls.cert_file),
        client_certificate_data: given(&tls.cert_data),
        client_key: given(&tls.key_file),
        client_key_data: given(&tls.key_data),
        ..kubeconfig::User::default()
    };
    Outside::new(cluster, user, config.timeout)
}

#[cfg(test)]
mod tests;
