//! The protocol against a small server, and what the scheduler makes of the answers.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::client::Body;
use scheduling::{Attempt, Configuration, Nomination, Scheduler, config::KubeSchedulerConfiguration};
use tokio::net::TcpListener;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// An extender, its requests (verb and document), and its answers by verb.
struct Outsider {
    url: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Outsider {
    async fn start(answers: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ext", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (answers, noted) = (Arc::new(answers), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, noted) = (answers.clone(), noted.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, noted) = (answers.clone(), noted.clone());
                    async move {
                        let verb = request.uri().path().trim_start_matches("/ext/").to_owned();
                        let body = request.into_body().collect().await?.to_bytes();
                        noted.lock().unwrap().push((verb.clone(), serde_json::from_slice(&body).unwrap()));
                        let code = if answers[&verb].is_null() { 500 } else { 200 };
                        let answer =
                            Response::builder().status(code).body(Full::new(Bytes::from(answers[&verb].to_string())));
                        Ok::<_, hyper::Error>(answer.unwrap())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Has every pod and three nodes.
fn api() -> Api {
    let answer = |request: Request<Body>| async move {
        let path = request.uri().path().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        let object = match path.as_str() {
            "/api/v1/nodes" => json!({"items": (0..3).map(|n| node(&format!("n{n}"))).collect::<Vec<_>>()}),
            _ => json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"full": true}}),
        };
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(object.to_string()))))
    };
    client::from_service(tower::service_fn(answer)).into()
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "status": {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}}})
}

struct World {
    scheduler: Scheduler,
    extenders: Extenders,
}

impl World {
    fn new(configs: Value) -> Self {
        let file: KubeSchedulerConfiguration = serde_json::from_value(json!({"extenders": configs})).unwrap();
        let mut scheduler = Scheduler::new(Configuration::from_file(&file).unwrap());
        for n in 0..3 {
            scheduler.apply_node(&serde_json::from_value(node(&format!("n{n}"))).unwrap(), NOW);
        }
        Self { scheduler, extenders: Extenders::new(api(), &file.extenders).unwrap() }
    }

    fn pod(&mut self, name: &str, spec: Value) {
        let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec});
        self.scheduler.apply_pod(&serde_json::from_value(pod).unwrap(), NOW);
    }

    async fn attempt(&mut self) -> Attempt {
        let mut attempt = self.scheduler.next(NOW, 0, &mut |_| {}).unwrap();
        loop {
            attempt = match attempt {
                Attempt::Ask(question) => {
                    let answer = self.extenders.ask(&question).await;
                    self.scheduler.answered(*question, answer, NOW, 0, &mut |_| {})
                }
                Attempt::AskPreemption(question) => {
                    let answer = self.extenders.ask_preemption(&question).await;
                    self.scheduler.preemption_answered(*question, answer, NOW)
                }
                ended => return ended,
            }
        }
    }

    async fn expect(&mut self, want: &str) {
        let found = match self.attempt().await {
            Attempt::Placed(placement) => format!("on {}", placement.node),
            Attempt::Unschedulable { nomination: Nomination::Evict(room), .. } => {
                let victims: Vec<_> = room.victims.iter().map(|victim| &*victim.name).collect();
                format!("evicts {} from {}", victims.join(" "), room.node)
            }
            Attempt::Unschedulable { message, .. } => message,
            Attempt::Failed { message, .. } => format!("failed: {message}"),
            Attempt::Ask(_) | Attempt::AskPreemption(_) => unreachable!(),
        };
        assert!(found.starts_with(want), "{found}, not {want}");
    }
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"resources": {"requests": {"cpu": amount}}}]})
}

#[tokio::test]
async fn they_filter_and_rate_by_name() {
    let outsider = Outsider::start(json!({
        "filter": {"NodeNames": ["n0", "n2"], "FailedNodes": {"n1": "too loud"}},
        "prioritize": [{"Host": "n2", "Score": 3}, {"Host": "n0", "Score": 1}],
    }))
    .await;
    let mut world =
        World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter", "prioritizeVerb": "prioritize",
        "weight": 5, "nodeCacheCapable": true}]));
    world.pod("p", cpu("1"));
    world.expect("on n2").await;
    let seen = outsider.seen();
    let verbs: Vec<_> = seen.iter().map(|(verb, _)| verb.as_str()).collect();
    assert_eq!(verbs, ["filter", "prioritize"]);
    assert_eq!(seen[0].1["Pod"]["spec"]["full"], true, "the pod is the API server's");
    assert_eq!(seen[0].1["NodeNames"].as_array().map(Vec::len), Some(3));
    assert_eq!(seen[1].1["NodeNames"], json!(["n0", "n2"]));
}

#[tokio::test]
async fn they_see_whole_nodes_unless_they_know_them() {
    let outsider = Outsider::start(json!({"filter": {"nodes": {"items": [{"metadata": {"name": "n1"}}]}}})).await;
    let mut world = World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter"}]));
    world.pod("p", cpu("1"));
    world.expect("on n1").await;
    let seen = outsider.seen();
    assert_eq!(seen[0].1["Nodes"]["items"][0]["status"]["allocatable"]["cpu"], "2");
    assert_eq!(seen[0].1["NodeNames"], Value::Null);
}

#[tokio::test]
async fn their_refusals_are_told() {
    let outsider =
        Outsider::start(json!({"filter": {"NodeNames": [], "FailedNodes": {"n0": "too loud", "n1": "too loud"},
        "FailedAndUnresolvableNodes": {"n2": "on fire"}}}))
        .await;
    let mut world = World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter", "nodeCacheCapable": true}]));
    world.pod("p", cpu("1"));
    world.expect("0/3 nodes are available: 1 on fire, 2 too loud. preemption: 0/3 nodes are available: 1 Preemption is not helpful").await;
}

#[tokio::test]
async fn who_cannot_be_reached_is_passed_over_if_that_is_allowed() {
    for (ignorable, want) in [(true, "on n"), (false, "failed: ")] {
        let outsider = Outsider::start(json!({})).await;
        let mut world =
            World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter", "ignorable": ignorable}]));
        world.pod("p", cpu("1"));
        world.expect(want).await;
    }
    let outsider = Outsider::start(json!({"filter": {"Error": "no mood"}})).await;
    let mut world = World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter"}]));
    world.pod("p", cpu("1"));
    world.expect("failed: no mood").await;
}

#[tokio::test]
async fn only_pods_with_their_resources_are_their_concern() {
    let outsider = Outsider::start(json!({"filter": {"NodeNames": ["n1"]}})).await;
    let mut world = World::new(json!([{"urlPrefix": outsider.url, "filterVerb": "filter", "nodeCacheCapable": true,
        "managedResources": [{"name": "example.com/gpu", "ignoredByScheduler": true}]}]));
    world.pod("plain", cpu("1"));
    world.expect("on n").await;
    assert!(outsider.seen().is_empty());
    // No node has any: somebody else counts them.
    world.pod("other", json!({"containers": [{"resources": {"requests": {"example.com/gpu": "1"}}}]}));
    world.expect("on n1").await;
}

#[tokio::test]
async fn they_choose_among_victims() {
    let outsider =
        Outsider::start(json!({"preempt": {"NodeNameToMetaVictims": {"n1": {"Pods": [{"UID": "low-1"}]}}}})).await;
    let mut world =
        World::new(json!([{"urlPrefix": outsider.url, "preemptVerb": "preempt", "nodeCacheCapable": true}]));
    for n in 0..3 {
        let mut spec = cpu("2");
        spec["nodeName"] = json!(format!("n{n}"));
        world.pod(&format!("low-{n}"), spec);
    }
    let mut spec = cpu("2");
    spec["priority"] = json!(5);
    world.pod("high", spec);
    world.expect("evicts low-1 from n1").await;
    let victims = &outsider.seen()[0].1["NodeNameToMetaVictims"];
    assert_eq!(victims["n2"], json!({"Pods": [{"UID": "low-2"}], "NumPDBViolations": 0}));
}

#[tokio::test]
async fn they_bind() {
    let outsider = Outsider::start(json!({"bind": {}, "refuse": {"Error": "taken"}})).await;
    for (verb, want) in [("bind", Ok(true)), ("refuse", Err("taken".to_owned()))] {
        let mut world = World::new(json!([{"urlPrefix": outsider.url, "bindVerb": verb}]));
        world.pod("p", cpu("1"));
        let Attempt::Placed(placement) = world.attempt().await else { panic!("not placed") };
        assert_eq!(world.extenders.bind(&placement).await.map_err(|error| error.to_string()), want);
        let (_, binding) = outsider.seen().remove(0);
        assert_eq!(binding, json!({"PodName": "p", "PodNamespace": "default", "PodUID": "p", "Node": placement.node}));
    }
}
