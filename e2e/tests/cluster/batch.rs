//! Jobs, CronJobs, budgets and quotas, as manifests and commands that people know.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("batch::jobs_reach_their_end", jobs),
        Scenario::new("batch::indexed_job_with_failure_policy", indexed),
        Scenario::new("batch::work_queue", work_queue),
        Scenario::new("batch::cron_job_each_minute", cron_jobs),
        Scenario::new("batch::budget_protects_from_drain", budget),
        Scenario::new("batch::quota_refuses_the_eleventh_pod", quota),
        Scenario::new("batch::volume_made_by_hand", volume),
    ]
}

fn job_field(c: &Cluster, job: &str, path: &str) -> anyhow::Result<String> {
    c.shell.ok(&format!("kubectl get job {job} -o 'jsonpath={path}'"))
}

const PI: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: pi}
spec:
  backoffLimit: 4
  ttlSecondsAfterFinished: 60
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: pi, image: busybox, imagePullPolicy: IfNotPresent, command: ["sh", "-c", "echo 3.14159265"]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: doomed}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["false"]}
"#;

fn jobs(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{PI}\nEND"))?;
    c.shell.ok("kubectl wait job/pi --for=condition=Complete --timeout=50s")?;
    ensure!(c.shell.ok("kubectl logs job/pi")? == "3.14159265\n");
    ensure!(job_field(c, "pi", "{.status.succeeded}")? == "1");
    c.shell.ok("kubectl wait job/doomed --for=condition=Failed --timeout=50s")?;
    ensure!(job_field(c, "doomed", "{.status.conditions[?(@.type==\"Failed\")].reason}")? == "BackoffLimitExceeded");
    ensure!(job_field(c, "doomed", "{.status.failed}")? == "1");
    let left =
        c.shell.ok("kubectl get pods -l 'job-name in (pi,doomed)' -o 'jsonpath={.items[*].metadata.finalizers}'")?;
    ensure!(left.is_empty(), "finalizers are left: {left}");
    c.shell.ok("kubectl delete job pi doomed").map(drop)
}

const INDEXED: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: indexed}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  backoffLimit: 10
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: busybox
        imagePullPolicy: IfNotPresent
        command: ["sh", "-c", "echo item $JOB_COMPLETION_INDEX on $(hostname)"]
---
apiVersion: batch/v1
kind: Job
metadata: {name: strict}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  backoffLimit: 10
  podFailurePolicy:
    rules:
    - {action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42]}}
    - {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        imagePullPolicy: IfNotPresent
        command: ["sh", "-c", "test $JOB_COMPLETION_INDEX = 0 && exit 42; trap 'exit 1' TERM; while true; do sleep 0.2; done"]
"#;

fn indexed(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{INDEXED}\nEND"))?;
    c.shell.ok("kubectl wait job/indexed --for=condition=Complete --timeout=50s")?;
    ensure!(job_field(c, "indexed", "{.status.completedIndexes}")? == "0-2");
    for index in 0..3 {
        let select = format!("-l job-name=indexed,batch.kubernetes.io/job-completion-index={index}");
        let said = c.shell.ok(&format!("kubectl logs {select}"))?;
        ensure!(said == format!("item {index} on indexed-{index}\n"), "{said}");
    }
    c.shell.ok("kubectl wait job/strict --for=condition=Failed --timeout=50s")?;
    let failed =
        |field: &str| job_field(c, "strict", &format!("{{.status.conditions[?(@.type==\"Failed\")].{field}}}"));
    ensure!(failed("reason")? == "PodFailurePolicy");
    let message = failed("message")?;
    ensure!(message.contains("failed with exit code 42 matching FailJob rule at index 0"), "{message}");
    c.shell.ok("kubectl delete job indexed strict").map(drop)
}

const WORK_QUEUE: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: queue}
spec:
  parallelism: 2
  suspend: true
  template:
    spec:
      restartPolicy: OnFailure
      containers:
      - {name: worker, image: busybox, imagePullPolicy: IfNotPresent, command: ["sh", "-c", "sleep 1"]}
"#;

/// No number of completions: the workers know when the queue is empty. Begun suspended, as queueing systems do.
fn work_queue(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{WORK_QUEUE}\nEND"))?;
    c.shell.ok("kubectl wait job/queue --for=condition=Suspended --timeout=20s")?;
    ensure!(c.shell.ok("kubectl get pods -l job-name=queue -o name")?.is_empty());
    c.shell.ok("kubectl patch job queue --type=merge -p '{\"spec\":{\"suspend\":false}}'")?;
    c.shell.ok("kubectl wait job/queue --for=condition=Complete --timeout=50s")?;
    ensure!(job_field(c, "queue", "{.status.succeeded}")? == "2");
    c.shell.ok("kubectl delete job queue").map(drop)
}

fn cron_job(policy: &str) -> String {
    let name = policy.to_lowercase();
    format!(
        r#"
apiVersion: batch/v1
kind: CronJob
metadata: {{name: each-minute-{name}}}
spec:
  schedule: "* * * * *"
  concurrencyPolicy: {policy}
  jobTemplate:
    spec:
      template:
        metadata: {{labels: {{cron: {name}}}}}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 1
          containers:
          - name: main
            image: busybox
            imagePullPolicy: IfNotPresent
            command: ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.2; done"]
---
"#
    )
}

/// Three minutes of jobs that do not end: `Allow` has one for each, `Forbid` the first, `Replace` the last.
fn cron_jobs(c: &Cluster) -> anyhow::Result<()> {
    let all: String = ["Allow", "Forbid", "Replace"].map(cron_job).concat();
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{all}\nEND"))?;
    let jobs = |policy: &str| -> anyhow::Result<Vec<String>> {
        let path = "{range .items[*]}{.metadata.ownerReferences[0].name} {.metadata.name}{\"\\n\"}{end}";
        let said = c.shell.ok(&format!("kubectl get jobs -o 'jsonpath={path}'"))?;
        let mine = said.lines().filter_map(|line| line.split_once(' '));
        let mut names: Vec<String> = mine
            .filter(|(owner, _)| *owner == format!("each-minute-{policy}"))
            .map(|(_, job)| job.to_owned())
            .collect();
        names.sort();
        Ok(names)
    };
    wait::until("three minutes of jobs", Duration::from_secs(250), || {
        let (allowed, forbidden, replaced) = (jobs("allow")?, jobs("forbid")?, jobs("replace")?);
        ensure!(forbidden.len() <= 1 && replaced.len() <= 2, "{forbidden:?} {replaced:?}");
        ensure!(allowed.len() == 3 && replaced.len() == 1, "{allowed:?} {replaced:?}");
        let minute = |name: &str| name.rsplit('-').next().map(str::to_owned);
        ensure!(minute(&allowed[0]) == minute(&forbidden[0]), "{allowed:?} {forbidden:?}");
        ensure!(minute(&allowed[2]) == minute(&replaced[0]), "{allowed:?} {replaced:?}");
        Ok(())
    })?;
    let active = c.shell.ok("kubectl get cronjob each-minute-allow -o 'jsonpath={.status.active[*].name}'")?;
    ensure!(active.split(' ').count() >= 3, "{active}");
    c.shell.ok("kubectl delete cronjob each-minute-allow each-minute-forbid each-minute-replace --wait=false").map(drop)
}

const PROTECTED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: protected}
spec:
  replicas: 2
  selector: {matchLabels: {app: protected}}
  template:
    metadata: {labels: {app: protected}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["sh", "-c", "trap exit TERM; while true; do sleep 0.2; done"]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: protected}
spec:
  minAvailable: 2
  selector: {matchLabels: {app: protected}}
"#;

/// A drain waits while the budget allows nothing, and goes on when it does.
fn budget(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{PROTECTED}\nEND"))?;
    c.shell.ok("kubectl rollout status deployment/protected --timeout=50s")?;
    let allowed = |wanted: &str| {
        wait::until("the budget", Duration::from_secs(20), || {
            let said = c
                .shell
                .ok("kubectl get pdb protected -o 'jsonpath={.status.disruptionsAllowed} {.status.currentHealthy}'")?;
            ensure!(said == wanted, "{said}");
            Ok(())
        })
    };
    allowed("0 2")?;
    let node = c.shell.ok("kubectl get pods -l app=protected -o 'jsonpath={.items[0].spec.nodeName}'")?;
    let drain =
        format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data --force --pod-selector=app=protected");
    let refused = c.shell.run(&format!("{drain} --timeout=6s"), Duration::from_secs(30))?;
    ensure!(refused.code != 0, "drained against the budget: {}", refused.stdout);
    ensure!(
        refused.stderr.contains("Cannot evict pod as it would violate the pod's disruption budget."),
        "{}",
        refused.stderr
    );
    c.shell.ok(
        "kubectl scale deployment/protected --replicas=3 && kubectl rollout status deployment/protected --timeout=50s",
    )?;
    c.shell.ok(&format!("{drain} --timeout=50s"))?;
    let on_node = format!("kubectl get pods -l app=protected --field-selector spec.nodeName={node} -o name");
    ensure!(c.shell.ok(&on_node)?.is_empty());
    c.shell.ok(&format!("kubectl uncordon {node}"))?;
    c.shell.ok("kubectl delete deployment/protected pdb/protected").map(drop)
}

const LIMITED: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: limited}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: ten, namespace: limited}
spec: {hard: {pods: "10"}}
"#;

fn quota(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{LIMITED}\nEND"))?;
    wait::until("the first count", Duration::from_secs(20), || {
        ensure!(c.shell.ok("kubectl -n limited get quota ten -o 'jsonpath={.status.used.pods}'")? == "0");
        c.shell.ok("kubectl -n limited get serviceaccount default").map(drop)
    })?;
    let run = |number: u32| {
        format!(
            "kubectl -n limited run p{number} --image=busybox --image-pull-policy=IfNotPresent --restart=Never -- sleep 300"
        )
    };
    c.shell.ok(&(0..10).map(run).collect::<Vec<_>>().join(" && "))?;
    let refused = c.shell.run(&run(10), Duration::from_secs(20))?;
    let text = "exceeded quota: ten, requested: pods=1, used: pods=10, limited: pods=10";
    ensure!(refused.code != 0 && refused.stderr.contains(text), "{}", refused.stderr);
    c.shell.ok("kubectl -n limited delete pod p0 --grace-period=0 --force")?;
    c.shell.ok(&run(10))?;
    c.shell.ok("kubectl delete namespace limited --wait=false").map(drop)
}

const VOLUME: &str = r#"
apiVersion: v1
kind: PersistentVolume
metadata: {name: by-hand}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: wanted}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  resources: {requests: {storage: 500Mi}}
"#;

fn volume(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{VOLUME}\nEND"))?;
    c.shell.ok("kubectl wait pvc/wanted --for=jsonpath='{.status.phase}'=Bound --timeout=20s")?;
    c.shell.ok("kubectl wait pv/by-hand --for=jsonpath='{.status.phase}'=Bound --timeout=20s")?;
    c.shell.ok("kubectl delete pvc wanted --timeout=20s")?;
    c.shell.ok("kubectl wait pv/by-hand --for=jsonpath='{.status.phase}'=Released --timeout=20s")?;
    c.shell.ok("kubectl delete pv by-hand --timeout=20s").map(drop)
}
