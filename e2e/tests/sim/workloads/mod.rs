//! Every kind of workload through random operations and faults, with the API server and the controllers alone: what the
//! scheduler and the kubelets would do is done by [`nodes`], quickly and without mercy.
//!
//! A run is a seed: it scales, changes templates, deletes, evicts and breaks pods, pauses, taints nodes, and meanwhile
//! restarts the API server and the controllers, also in the middle of their writes, cuts their connections, so that
//! answers and watches are lost, lets their caches grow old, and changes objects under their hands. In every third run a
//! second controller manager takes itself for the leader for a while. What may never happen is looked at after every step;
//! when the disturbances are over, every workload must reach what it wants, and then nothing may change any more.

mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod job;
mod nodes;
mod replicas;
mod scale;
mod stateful_set;

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    chance::Chance,
    cluster::{Admin, Cluster, Part, USURPERS},
    for_each_seed,
};

const NAMESPACE: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const BATCH: &str = "/apis/batch/v1/namespaces/default";
const POLICY: &str = "/apis/policy/v1/namespaces/default";
/// Workloads of one run.
const AT_ONCE: usize = 2;
const STEPS: u64 = 24;
/// Leaders at one time in a run in which there may be two.
const TWO_LEADERS: u64 = 2;
/// Simulated time within which every workload must have what it wants.
const LIMIT: Duration = Duration::from_secs(300);
/// Simulated time of quiet after which nothing may have changed.
const QUIET: Duration = Duration::from_secs(60);

const SMALL: Part = Part {
    bodies: &["apiserver", "controller-manager"],
    controllers: "cronjob-controller,daemonset-controller,deployment-controller,disruption-controller,job-controller,\
                  replicaset-controller,replicationcontroller-controller,serviceaccount-controller,\
                  statefulset-controller",
};
/// With those that delete what is owned by what is gone; they watch every kind, which makes a restart dear.
const COLLECTING: Part = Part {
    bodies: &["apiserver", "controller-manager"],
    controllers: "cronjob-controller,daemonset-controller,deployment-controller,disruption-controller,job-controller,\
                  replicaset-controller,replicationcontroller-controller,serviceaccount-controller,\
                  statefulset-controller,garbage-collector-controller,persistentvolumeclaim-protection-controller",
};

/// One object of the kind under test and what is to be said of it.
trait Workload {
    /// Paths of collections, and what is made in them at the beginning.
    fn objects(&self) -> Vec<(String, Value)>;
    /// What a user does next.
    fn disturb(&mut self, chance: &mut Chance, seen: &Seen) -> Change;
    /// What a user does last, for the rest to come to an end.
    fn conclude(&self) -> Change {
        Change::Nothing
    }
    /// The longest pause between two things that happen, in milliseconds.
    fn pace(&self) -> u64 {
        1500
    }
    /// What holds at every moment.
    fn always(&mut self, seen: &Seen) -> anyhow::Result<()>;
    /// What holds in the end.
    fn finally(&self, seen: &Seen) -> anyhow::Result<()>;
}

enum Change {
    Patch(String, Value),
    Delete(String),
    /// Of pods, at the same time.
    Evict(Vec<String>),
    Nothing,
}

/// The objects at one moment.
#[derive(Clone, PartialEq)]
struct Seen {
    pods: Vec<Value>,
    nodes: Vec<Value>,
    claims: Vec<Value>,
    /// Of all kinds of workloads, their revisions and budgets.
    sets: Vec<Value>,
    /// How many take themselves for the leader, at most.
    leaders: u64,
    /// How the nodes have ended pods.
    ended: nodes::Ended,
}

impl Seen {
    async fn now(admin: &Admin, nodes: &nodes::Nodes, leaders: u64) -> anyhow::Result<Self> {
        let list = async |path: String| -> anyhow::Result<Vec<Value>> {
            let mut list = admin.get(&path).await?;
            let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
            Ok(items)
        };
        let mut sets = Vec::new();
        for (kind, path) in [
            ("ReplicationController", format!("{NAMESPACE}/replicationcontrollers")),
            ("Deployment", format!("{APPS}/deployments")),
            ("ReplicaSet", format!("{APPS}/replicasets")),
            ("StatefulSet", format!("{APPS}/statefulsets")),
            ("DaemonSet", format!("{APPS}/daemonsets")),
            ("ControllerRevision", format!("{APPS}/controllerrevisions")),
            ("Job", format!("{BATCH}/jobs")),
            ("CronJob", format!("{BATCH}/cronjobs")),
            ("PodDisruptionBudget", format!("{POLICY}/poddisruptionbudgets")),
        ] {
            for mut set in list(path).await? {
                // The items of a list need not say what they are.
                set["kind"] = json!(kind);
                sets.push(set);
            }
        }
        Ok(Self {
            pods: list(format!("{NAMESPACE}/pods")).await?,
            nodes: list("/api/v1/nodes".to_owned()).await?,
            claims: list(format!("{NAMESPACE}/persistentvolumeclaims")).await?,
            sets,
            leaders,
            ended: nodes.ended(),
        })
    }

    /// The pods with this label `app`.
    fn pods(&self, app: &str) -> Vec<&Value> {
        self.pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == app).collect()
    }

    /// Those that neither have ended nor are on their way out.
    fn active(&self, app: &str) -> Vec<&Value> {
        let mut pods = self.pods(app);
        pods.retain(|pod| !ended(pod) && pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    fn set(&self, kind: &str, name: &str) -> anyhow::Result<&Value> {
        let found = self.sets.iter().find(|set| set["metadata"]["name"] == name && set["kind"] == kind);
        found.with_context(|| format!("no {kind} {name}"))
    }

    /// One of the pods, by chance.
    fn any(&self, app: &str, chance: &mut Chance) -> Option<String> {
        let pods = self.pods(app);
        let pod = pods.get(chance.below(pods.len() as u64) as usize)?;
        Some(format!("{NAMESPACE}/pods/{}", name(pod)))
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

fn image(number: u64) -> Value {
    json!(format!("registry.test/app:v{number}"))
}

fn template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "main", "image": image(0)}]},
    })
}

/// The patch that gives a workload's template another image.
fn update(number: u64) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image(number)}]}}}})
}

/// The number of the image that a workload's template asks for.
fn wanted_image(set: &Value) -> u64 {
    let asked = &set["spec"]["template"]["spec"]["containers"][0]["image"];
    (0..3).find(|number| *asked == image(*number)).unwrap_or_default()
}

/// All pods are there, ready, of the wanted image, and are as many as wanted.
fn complete(seen: &Seen, app: &str, wanted: u64, number: u64) -> anyhow::Result<()> {
    let pods = seen.pods(app);
    anyhow::ensure!(pods.len() as u64 == wanted, "{app}: {} pods of {wanted}", pods.len());
    for pod in pods {
        let (name, is) = (name(pod), &pod["spec"]["containers"][0]["image"]);
        anyhow::ensure!(ready(pod) && !ended(pod), "{app}: {name} is not ready");
        anyhow::ensure!(*is == image(number), "{app}: {name} has {is}, not {}", image(number));
    }
    Ok(())
}

fn same(what: &str, is: &Value, wanted: u64) -> anyhow::Result<()> {
    let is = is.as_u64().unwrap_or_default();
    anyhow::ensure!(is == wanted, "{what} is {is}, not {wanted}");
    Ok(())
}

#[test]
fn every_workload_survives_random_operations_and_faults() {
    for_each_seed(50, random_operations);
}

async fn random_operations(seed: u64) -> anyhow::Result<()> {
    let mut chance = Chance::new(seed);
    let collecting = seed.is_multiple_of(5);
    let mut cluster = Cluster::start_part(seed, if collecting { COLLECTING } else { SMALL }).await?;
    let when_scaled = if collecting { "Delete" } else { "Retain" };
    let mut workloads: Vec<Box<dyn Workload>> = vec![
        Box::new(stateful_set::Sets::ordered(when_scaled)),
        Box::new(stateful_set::Sets::parallel(when_scaled)),
        Box::new(daemon_set::Daemons::replacing()),
        Box::new(daemon_set::Daemons::surging()),
        Box::new(deployment::Deployments::rolling()),
        Box::new(deployment::Deployments::recreating()),
        Box::new(replicas::Replicas::set()),
        Box::new(replicas::Replicas::controller()),
        Box::new(job::Jobs::counting()),
        Box::new(job::Jobs::indexed()),
        Box::new(cron_job::Schedule::new(["Allow", "Forbid", "Replace"][chance.below(3) as usize])),
    ];
    let leaders = if seed.is_multiple_of(3) { TWO_LEADERS } else { 1 };
    if leaders == 1 {
        // Who else scales down knows nothing of budgets.
        workloads.push(Box::new(disruption::Guarded::default()));
    }
    // A few at a time: seeds are many.
    chance.shuffle(&mut workloads);
    workloads.truncate(AT_ONCE);
    for (path, object) in nodes::objects().into_iter().chain(workloads.iter().flat_map(|workload| workload.objects())) {
        cluster.admin.create(&path, &object).await?;
    }
    let nodes = nodes::Nodes::start(&cluster, seed);
    let pace = workloads.iter().map(|workload| workload.pace()).max().unwrap_or_default();
    for _ in 0..STEPS {
        tokio::time::sleep(Duration::from_millis(chance.below(pace))).await;
        let Ok(seen) = Seen::now(&cluster.admin, &nodes, leaders).await else { continue };
        for workload in &mut workloads {
            workload.always(&seen)?;
        }
        nodes.check()?;
        if chance.below(5) < 2 {
            disrupt(&mut cluster, &mut chance, &seen).await?;
        } else {
            let number = chance.below(workloads.len() as u64) as usize;
            let change = workloads[number].disturb(&mut chance, &seen);
            carry_out(&cluster.admin, change).await.ok();
        }
    }
    cluster.depose(CONTROLLERS[1]).await;
    nodes.hurry();
    for workload in &workloads {
        while let Err(error) = carry_out(&cluster.admin, workload.conclude()).await {
            anyhow::ensure!(!error.to_string().contains("422"), "{error:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let settled = settle(&cluster, &nodes, leaders, &mut workloads).await;
    let seen = Seen::now(&cluster.admin, &nodes, leaders).await?;
    settled.with_context(|| format!("not settled within {LIMIT:?}: {}", summary(&seen)))?;
    nodes.check()?;
    nodes.stop().await;
    tokio::time::sleep(QUIET).await;
    let after = Seen::now(&cluster.admin, &nodes, leaders).await?;
    anyhow::ensure!(
        after == seen,
        "nothing happens, yet objects changed: {} and then {}",
        summary(&seen),
        summary(&after)
    );
    cluster.stop().await;
    Ok(())
}

/// The leader, and the other one that takes itself for it.
const CONTROLLERS: [&str; 2] = ["controller-manager", USURPERS[0]];

/// A fault.
async fn disrupt(cluster: &mut Cluster, chance: &mut Chance, seen: &Seen) -> anyhow::Result<()> {
    let leader = CONTROLLERS[chance.below(seen.leaders) as usize];
    match chance.below(8) {
        0 => cluster.restart("apiserver", Duration::from_millis(chance.below(1000))).await?,
        1 => cluster.restart(CONTROLLERS[0], Duration::from_millis(chance.below(1000))).await?,
        2 | 3 => cluster.restart_amid_writes(CONTROLLERS[0], chance.below(12), chance.below(2) == 0).await?,
        4 => cluster.cut(leader),
        5 => cluster.deafen(leader, Duration::from_millis(chance.below(6000))),
        6 if seen.leaders == 1 => meddle(&cluster.admin, seen).await,
        _ if seen.leaders == 1 => cluster.cut(leader),
        6 => cluster.depose(CONTROLLERS[1]).await,
        _ => cluster.usurp(CONTROLLERS[1]).await?,
    }
    Ok(())
}

/// Somebody else writes everything that the controllers write too: what they know of it is outdated.
async fn meddle(admin: &Admin, seen: &Seen) {
    let sets = seen.sets.iter().filter_map(|set| {
        let collection = match set["kind"].as_str()? {
            "ReplicationController" => format!("{NAMESPACE}/replicationcontrollers"),
            "Job" => format!("{BATCH}/jobs"),
            "CronJob" => format!("{BATCH}/cronjobs"),
            "PodDisruptionBudget" => format!("{POLICY}/poddisruptionbudgets"),
            kind => format!("{APPS}/{}s", kind.to_lowercase()),
        };
        Some(format!("{collection}/{}", name(set)))
    });
    let pods = seen.pods.iter().map(|pod| format!("{NAMESPACE}/pods/{}", name(pod)));
    for (number, path) in sets.chain(pods).enumerate() {
        let touched = json!({"metadata": {"annotations": {"test/touched": number.to_string()}}});
        carry_out(admin, Change::Patch(path, touched)).await.ok();
    }
}

/// What a user does may fail: the server may be away, the pod be gone.
async fn carry_out(admin: &Admin, change: Change) -> anyhow::Result<()> {
    match change {
        Change::Patch(path, patch) => admin.patch(&path, &patch).await.map(drop),
        Change::Delete(path) => admin.delete(&path, None).await.map(drop),
        Change::Evict(pods) => {
            let evictions = pods.iter().map(|path| async move {
                let (_, name) = path.rsplit_once('/').unwrap_or_default();
                let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
                admin.post(&format!("{path}/eviction"), &eviction).await
            });
            futures::future::join_all(evictions).await;
            Ok(())
        }
        Change::Nothing => Ok(()),
    }
}

async fn settle(
    cluster: &Cluster,
    nodes: &nodes::Nodes,
    leaders: u64,
    workloads: &mut [Box<dyn Workload>],
) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let outcome = match Seen::now(&cluster.admin, nodes, leaders).await {
            Ok(seen) => {
                for workload in &mut *workloads {
                    workload.always(&seen)?;
                }
                workloads.iter().try_for_each(|workload| workload.finally(&seen))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > LIMIT => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

fn summary(seen: &Seen) -> Value {
    let pod = |pod: &Value| {
        json!([
            name(pod),
            pod["spec"]["nodeName"],
            pod["status"]["phase"],
            pod["metadata"]["deletionTimestamp"],
            pod["metadata"]["resourceVersion"]
        ])
    };
    let set = |set: &Value| {
        json!([set["kind"], name(set), set["spec"]["replicas"], set["status"], set["metadata"]["resourceVersion"]])
    };
    json!({"pods": seen.pods.iter().map(pod).collect::<Vec<_>>(), "sets": seen.sets.iter().map(set).collect::<Vec<_>>(),
        "claims": seen.claims.iter().map(|claim| &claim["metadata"]).collect::<Vec<_>>()})
}
