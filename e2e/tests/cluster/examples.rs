//! The workloads that the documentation of Kubernetes is known for, in `e2e/examples/workloads`: all at once, and each
//! reaches what it is there for.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("examples::all_reach_their_goals", all_reach_their_goals)]
}

/// A CronJob that is made just after a full minute waits for the next one.
const LIMIT: Duration = Duration::from_secs(100);

/// What is to be seen in the end: of which example, what is asked, and the answer.
const GOALS: &[(&str, &str, &str)] = &[
    ("web: both are ready", "get statefulset web -o jsonpath={.status.readyReplicas}", "2"),
    ("web: each has its disk", "get pvc www-web-0 www-web-1 -o jsonpath={.items[*].status.phase}", "Bound Bound"),
    ("web: each shows its own page", "exec web-1 -- cat /usr/share/nginx/html/index.html", "web-1"),
    ("mysql: three are ready", "get statefulset mysql -o jsonpath={.status.readyReplicas}", "3"),
    (
        "mysql: the first is the primary",
        "exec mysql-0 -c mysql -- cat /var/lib/mysql/settings",
        "role=primary\nserver-id=100",
    ),
    (
        "mysql: the others are not",
        "exec mysql-2 -c mysql -- cat /var/lib/mysql/settings",
        "role=replica\nserver-id=102",
    ),
    (
        "mysql: what the primary wrote came down the line",
        "exec mysql-2 -c mysql -- cat /var/lib/mysql/rows",
        "written by mysql-0",
    ),
    ("zookeeper: three are ready", "get statefulset zk -o jsonpath={.status.readyReplicas}", "3"),
    ("zookeeper: each has its number", "exec zk-2 -- cat /var/lib/zookeeper/myid", "3"),
    ("zookeeper: one may go", "get pdb zk-pdb -o jsonpath={.status.disruptionsAllowed}", "1"),
    ("cassandra: three are ready", "get statefulset cassandra -o jsonpath={.status.readyReplicas}", "3"),
    ("cassandra: three disks", "get pvc -l app=cassandra -o jsonpath={.items[*].status.phase}", "Bound Bound Bound"),
    (
        "guestbook: the page shows what was written",
        "exec deploy/frontend -- wget -q -O - http://frontend/",
        "guest: welcome",
    ),
    ("guestbook: three pages", "get deployment frontend -o jsonpath={.status.readyReplicas}", "3"),
    ("guestbook: two followers", "get deployment redis-follower -o jsonpath={.status.readyReplicas}", "2"),
    ("a Deployment", "get deployment nginx-deployment -o jsonpath={.status.availableReplicas}", "3"),
    ("a ReplicaSet", "get replicaset replicas -o jsonpath={.status.readyReplicas}", "3"),
    ("a ReplicationController", "get rc nginx -o jsonpath={.status.readyReplicas}", "2"),
    ("pi is done", "get job pi -o jsonpath={.status.succeeded}", "1"),
    ("pi is right", "logs job/pi", "3.14159292035398230088"),
    ("the list is done", "get job indexed-job -o jsonpath={.status.completedIndexes}", "0-4"),
    (
        "the list's last item",
        "logs -l job-name=indexed-job,batch.kubernetes.io/job-completion-index=4 -c worker",
        "zyx",
    ),
    ("the queue is empty", "get job job-wq-2 -o jsonpath={.status.succeeded}", "2"),
    (
        "each minute a greeting",
        "get jobs -o jsonpath={.items[?(@.metadata.ownerReferences[0].name==\"hello\")].status.succeeded}",
        "1",
    ),
];

fn all_reach_their_goals(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok("kubectl create namespace examples")?;
    c.shell.ok("kubectl -n examples apply -f e2e/examples/workloads")?;
    let ask = |what: &str| c.shell.ok(&format!("kubectl -n examples {}", quoted(what)));
    for (goal, command, answer) in GOALS {
        wait::until(goal, LIMIT, || {
            let said = ask(command)?;
            ensure!(said.trim() == *answer, "{said}");
            Ok(())
        })
        .with_context(|| ask("get pods -o wide").unwrap_or_default())?;
    }
    let nodes = ask("get nodes --no-headers")?.lines().count();
    wait::until("fluentd: on every node", LIMIT, || {
        let ready = ask("get daemonset fluentd-elasticsearch -o jsonpath={.status.numberReady}")?;
        ensure!(ready == nodes.to_string(), "{ready}");
        Ok(())
    })?;
    spread(&ask("get pods -l app=zk -o jsonpath={.items[*].spec.nodeName}")?)?;
    let worked = ask("logs -l job-name=job-wq-2 --tail=-1")?;
    for item in 1..=6 {
        let times = worked.matches(&format!("working on {item}\n")).count();
        ensure!(times == 1, "item {item} was worked on {times} times:\n{worked}");
    }
    c.shell.ok_within("kubectl delete namespace examples --timeout=100s", Duration::from_secs(110))?;
    c.shell.ok("kubectl delete pv -l example=yes --timeout=30s && rm -r /tmp/kogge-examples").map(drop)
}

/// Arguments with braces or parentheses are the shell's own otherwise.
fn quoted(command: &str) -> String {
    match command.split_once("jsonpath=") {
        Some((before, path)) => format!("{before}'jsonpath={path}'"),
        None => command.to_owned(),
    }
}

fn spread(nodes: &str) -> anyhow::Result<()> {
    let mut on: Vec<&str> = nodes.split_whitespace().collect();
    on.sort_unstable();
    on.dedup();
    ensure!(on.len() == 3, "no two of zookeeper may be on one node: {nodes}");
    Ok(())
}
