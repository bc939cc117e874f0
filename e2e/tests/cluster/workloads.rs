//! Pods and Deployments: what everyone's first manifests are, and what happens to them.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("workloads::first_manifests", first_manifests),
        Scenario::new("workloads::deployment_heals_and_scales", heals_and_scales),
        Scenario::new("workloads::rolling_update_loses_no_request", rolling_update),
        Scenario::new("workloads::configuration_reaches_pods", configuration),
        Scenario::new("workloads::restarts_and_probes", restarts_and_probes),
    ]
}

const FIRST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: first-busybox}
spec:
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", "echo Hello Kubernetes! && sleep 30"]
    imagePullPolicy: IfNotPresent
---
apiVersion: v1
kind: Pod
metadata: {name: first-nginx, labels: {app: first-nginx}}
spec:
  containers:
  - name: nginx
    image: nginx:latest
    imagePullPolicy: IfNotPresent
    ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  selector: {app: MyApp}
  ports: [{port: 80, targetPort: 8080}]
"#;

/// `kctl apply` and `kubectl apply` take the manifests that tutorials start with, and the pods run.
fn first_manifests(c: &Cluster) -> anyhow::Result<()> {
    for apply in ["$KCTL", "kubectl"] {
        c.shell.ok(&format!("{apply} apply -f - <<'END'\n{FIRST}\nEND"))?;
        c.shell.ok("kubectl wait pod/first-busybox pod/first-nginx --for=condition=Ready --timeout=30s")?;
        let said = c.shell.ok("$KCTL logs first-busybox")?;
        ensure!(said == "Hello Kubernetes!\n", "logs: {said:?}");
        let ip = c.shell.ok("kubectl get pod first-nginx -o 'jsonpath={.status.podIP}'")?;
        ensure!(c.shell.ok(&format!("curl -sS --max-time 5 http://{ip}/"))?.contains("nginx"));
        c.shell.ok("kubectl delete --grace-period=1 pod/first-busybox pod/first-nginx service/my-service")?;
    }
    Ok(())
}

fn heals_and_scales(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok("$KCTL apply -f deploy/demo/hello.yaml")?;
    c.shell.ok("$KCTL rollout status deployment/hello --timeout=60s")?;
    let before = c.shell.ok("$KCTL get pods -l app=hello -o 'jsonpath={.items[*].metadata.name}'")?;
    let victim = before.split(' ').next().unwrap_or_default();
    c.shell.ok(&format!("$KCTL delete pod {victim}"))?;
    c.shell.ok("$KCTL rollout status deployment/hello --timeout=60s")?;
    let after = c.shell.ok("$KCTL get pods -l app=hello -o 'jsonpath={.items[*].metadata.name}'")?;
    ensure!(after.split(' ').count() == 3 && !after.contains(victim), "before {before}, after {after}");
    for replicas in [10, 1, 3] {
        c.shell.ok(&format!("$KCTL scale deployment/hello --replicas={replicas}"))?;
        wait::until("the replicas", Duration::from_secs(90), || {
            let pods = c.shell.ok("$KCTL get pods -l app=hello --no-headers")?;
            let running = pods.lines().filter(|l| l.contains("1/1") && l.contains("Running")).count();
            ensure!(running == replicas && pods.lines().count() == replicas, "{pods}");
            Ok(())
        })?;
    }
    Ok(())
}

/// A load of requests runs through an update to v2 and back, and every one is answered.
fn rolling_update(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok("$KCTL apply -f deploy/demo/hello.yaml && $KCTL rollout status deployment/hello --timeout=60s")?;
    let ip = c.shell.ok("$KCTL get service hello -o 'jsonpath={.spec.clusterIP}'")?;
    wait::until("the service answers", Duration::from_secs(10), || {
        c.shell.ok(&format!("curl -sSf --max-time 2 http://{ip}/")).map(drop)
    })?;
    let script = format!(
        "set -e; flag=$(mktemp); lost=$(mktemp); \
         ( while [ -e $flag ]; do curl -sf --max-time 5 http://{ip}/ >/dev/null || echo lost >>$lost; done ) & load=$!; \
         $KCTL patch deployment hello -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"hello\",\"image\":\"kogge/hello:v2\"}}]}}}}}}}}' >/dev/null; \
         $KCTL rollout status deployment/hello --timeout=90s >/dev/null; \
         curl -sf http://{ip}/; \
         $KCTL rollout undo deployment/hello >/dev/null; \
         $KCTL rollout status deployment/hello --timeout=90s >/dev/null; \
         curl -sf http://{ip}/; rm $flag; wait $load; echo lost: $(wc -l <$lost); rm -f $lost"
    );
    let said = c.shell.ok_within(&script, Duration::from_secs(200))?;
    ensure!(said.contains("lost: 0"), "{said}");
    ensure!(said.contains("v2") && said.contains("v1"), "both versions answered: {said}");
    let image = c.shell.ok("$KCTL get deployment hello -o 'jsonpath={.spec.template.spec.containers[0].image}'")?;
    ensure!(image == "kogge/hello:latest", "{image}");
    Ok(())
}

const CONFIGURED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, file.txt: "first"}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {password: hunter2}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, labels: {tier: back}}
spec:
  initContainers:
  - {name: prepare, image: busybox, imagePullPolicy: IfNotPresent, command: ["sh", "-c", "echo prepared > /shared/note"], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: ["sh", "-c", "trap exit TERM; while true; do sleep 0.2; done"]
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: key, key: password}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: GREETING, value: "hello from $(NAME)"}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
    volumeMounts:
    - {name: shared, mountPath: /shared}
    - {name: settings, mountPath: /etc/settings}
    - {name: key, mountPath: /etc/key}
    - {name: about, mountPath: /etc/about}
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: key, secret: {secretName: key, defaultMode: 0400}}
  - name: about
    downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
"#;

fn configuration(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{CONFIGURED}\nEND"))?;
    c.shell.ok("kubectl wait pod/configured --for=condition=Ready --timeout=30s")?;
    let inside = |command: &str| c.shell.ok(&format!("$KCTL exec configured -- sh -c '{command}'"));
    ensure!(inside("echo $COLOR $PASSWORD $GREETING $LIMIT")? == "blue hunter2 hello from configured 33554432\n");
    ensure!(inside("cat /shared/note /etc/settings/file.txt /etc/key/password")? == "prepared\nfirsthunter2");
    ensure!(inside("cat /etc/about/labels")?.contains("tier=\"back\""));
    ensure!(inside("stat -L -c %a /etc/key/password")? == "400\n");
    ensure!(inside("cat /var/run/secrets/kubernetes.io/serviceaccount/namespace")? == "default");
    c.shell.ok("kubectl patch configmap settings --type=merge -p '{\"data\":{\"file.txt\":\"second\"}}'")?;
    c.shell.ok("kubectl label pod configured tier=front --overwrite")?;
    wait::until("mounted files follow", Duration::from_secs(90), || {
        ensure!(inside("cat /etc/settings/file.txt")? == "second");
        ensure!(inside("cat /etc/about/labels")?.contains("tier=\"front\""));
        Ok(())
    })?;
    c.shell.ok("kubectl delete pod/configured configmap/settings secret/key --grace-period=1").map(drop)
}

const FAILING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  containers:
  - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["sh", "-c", "echo dying; echo why > /dev/termination-log; exit 3"]}
---
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["true"]}
---
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: kogge/hello:latest
    imagePullPolicy: IfNotPresent
    livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 1}
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
"#;

fn restarts_and_probes(c: &Cluster) -> anyhow::Result<()> {
    // The image of hello has no shell: its readiness probe fails, its liveness probe holds until told otherwise.
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{FAILING}\nEND"))?;
    let get = |pod: &str, path: &str| c.shell.ok(&format!("kubectl get pod {pod} -o 'jsonpath={path}'"));
    wait::until("the crash loop", Duration::from_secs(60), || {
        ensure!(get("crashing", "{.status.containerStatuses[0].state.waiting.reason}")? == "CrashLoopBackOff");
        Ok(())
    })?;
    ensure!(get("crashing", "{.status.containerStatuses[0].lastState.terminated.exitCode}")? == "3");
    ensure!(get("crashing", "{.status.containerStatuses[0].lastState.terminated.message}")?.trim() == "why");
    ensure!(c.shell.ok("kubectl logs crashing --previous")? == "dying\n");
    wait::until("the pod that ends", Duration::from_secs(30), || {
        ensure!(get("once", "{.status.phase}")? == "Succeeded");
        Ok(())
    })?;
    let ip = wait::until("an address", Duration::from_secs(30), || {
        ensure!(!get("sick", "{.status.podIP}")?.is_empty());
        Ok(())
    })
    .and_then(|_| get("sick", "{.status.podIP}"))?;
    wait::until("the server is up", Duration::from_secs(30), || {
        c.shell.ok(&format!("curl -sf --max-time 2 http://{ip}:8080/healthz/off")).map(drop)
    })?;
    wait::until("a restart by the liveness probe", Duration::from_secs(30), || {
        ensure!(get("sick", "{.status.containerStatuses[0].restartCount}")?.parse::<u32>()? >= 1);
        Ok(())
    })?;
    c.shell.ok("kubectl delete pod crashing once sick --grace-period=1").map(drop)
}
