//! Services and names: every replica answers, from the host and from pods, and one that is not ready does not.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("network::service_answers_from_all_replicas", all_replicas),
        Scenario::new("network::unready_replica_gets_no_connection", unready),
        Scenario::new("network::names", names),
        Scenario::new("network::session_affinity", affinity),
        Scenario::new("network::no_endpoints_is_refused", refused),
        Scenario::new("network::pods_of_two_nodes_reach_each_other", across_nodes),
    ]
}

/// The pods that answer `times` requests of `line`.
fn answers(c: &Cluster, line: &str, times: usize) -> anyhow::Result<BTreeSet<String>> {
    let said = c.shell.ok(&format!("for i in $(seq {times}); do {line}; echo; done"))?;
    Ok(said
        .split_whitespace()
        .filter(|w| w.starts_with("hello-"))
        .map(|w| w.trim_matches([',', '.', '!']).to_owned())
        .collect())
}

fn hello(c: &Cluster) -> anyhow::Result<String> {
    c.shell.ok("$KCTL apply -f deploy/demo/hello.yaml && $KCTL rollout status deployment/hello --timeout=60s")?;
    let ip = c.shell.ok("$KCTL get service hello -o 'jsonpath={.spec.clusterIP}'")?;
    wait::until("the service answers from all", Duration::from_secs(10), || {
        ensure!(answers(c, &format!("curl -sf --max-time 2 http://{ip}/"), 20)?.len() == 3);
        Ok(())
    })?;
    Ok(ip)
}

/// A busybox pod that stays.
fn shell_pod(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok("$KCTL get pod netshell >/dev/null 2>&1 || kubectl run netshell --image=busybox --image-pull-policy=IfNotPresent --restart=Never -- sleep 36000")?;
    c.shell.ok("$KCTL wait pod/netshell --for=condition=Ready --timeout=30s").map(drop)
}

fn all_replicas(c: &Cluster) -> anyhow::Result<()> {
    let ip = hello(c)?;
    let port = c.shell.ok("$KCTL get service hello -o 'jsonpath={.spec.ports[0].nodePort}'")?;
    let node =
        c.shell.ok("$KCTL get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}'")?;
    shell_pod(c)?;
    for line in [
        format!("curl -sf --max-time 2 http://{ip}/"),
        format!("curl -sf --max-time 2 http://{node}:{port}/"),
        "$KCTL exec netshell -- timeout 5 wget -qO- http://hello.default.svc.cluster.local".to_owned(),
        "$KCTL exec netshell -- timeout 5 wget -qO- http://hello".to_owned(),
    ] {
        let who = answers(c, &line, 25)?;
        ensure!(who.len() == 3, "{line}: {who:?}");
    }
    Ok(())
}

fn unready(c: &Cluster) -> anyhow::Result<()> {
    let ip = hello(c)?;
    let pod = c.shell.ok("$KCTL get pods -l app=hello -o 'jsonpath={.items[0].metadata.name}'")?;
    let pod_ip = c.shell.ok(&format!("$KCTL get pod {pod} -o 'jsonpath={{.status.podIP}}'"))?;
    c.shell.ok(&format!("curl -sf http://{pod_ip}:8080/ready/off"))?;
    // The probe runs each second and fails after three; what is measured is from the condition to the packets.
    let line = format!("$KCTL wait pod/{pod} --for=condition=Ready=false --timeout=15s");
    c.shell.ok(&line)?;
    wait::until("no new connection", Duration::from_secs(1), || {
        ensure!(!answers(c, &format!("curl -sf --max-time 2 http://{ip}/"), 20)?.contains(&pod));
        Ok(())
    })?;
    c.shell.ok(&format!("curl -sf http://{pod_ip}:8080/ready/on")).map(drop)
}

const NAMED: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: hello}, ports: [{name: web, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, externalName: hello.default.svc.cluster.local}
---
apiVersion: v1
kind: Pod
metadata: {name: named, labels: {app: named}}
spec:
  hostname: me
  subdomain: family
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: ["sleep", "3600"]}]
---
apiVersion: v1
kind: Service
metadata: {name: family}
spec: {clusterIP: None, selector: {app: named}}
"#;

fn names(c: &Cluster) -> anyhow::Result<()> {
    let ip = hello(c)?;
    shell_pod(c)?;
    c.shell.ok(&format!("$KCTL apply -f - <<'END'\n{NAMED}\nEND"))?;
    c.shell.ok("$KCTL wait pod/named --for=condition=Ready --timeout=30s")?;
    let lookup = |name: &str| c.shell.ok(&format!("$KCTL exec netshell -- nslookup {name}"));
    wait::until("names", Duration::from_secs(15), || {
        ensure!(lookup("hello.default.svc.cluster.local")?.contains(&ip));
        ensure!(lookup("kubernetes.default.svc.cluster.local")?.contains("10.96.0.1"));
        let headless = lookup("headless.default.svc.cluster.local")?;
        let pods = c.shell.ok("$KCTL get pods -l app=hello -o 'jsonpath={.items[*].status.podIP}'")?;
        ensure!(pods.split(' ').all(|p| headless.contains(p)), "{headless}");
        let named = c.shell.ok("$KCTL get pod named -o 'jsonpath={.status.podIP}'")?;
        ensure!(lookup("me.family.default.svc.cluster.local")?.contains(&named));
        ensure!(lookup("outside.default.svc.cluster.local")?.contains(&ip));
        Ok(())
    })?;
    let absent =
        c.shell.run("$KCTL exec netshell -- nslookup nothing.default.svc.cluster.local", Duration::from_secs(20))?;
    ensure!(absent.code != 0 && (absent.stdout + &absent.stderr).contains("NXDOMAIN"));
    c.shell.ok("$KCTL delete pod/named service/headless service/outside service/family").map(drop)
}

fn affinity(c: &Cluster) -> anyhow::Result<()> {
    hello(c)?;
    let service = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"sticky\"},\"spec\":{\"sessionAffinity\":\"ClientIP\",\"selector\":{\"app\":\"hello\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]}}";
    c.shell.ok(&format!("echo '{service}' | $KCTL apply -f -"))?;
    let ip = c.shell.ok("$KCTL get service sticky -o 'jsonpath={.spec.clusterIP}'")?;
    wait::until("one replica answers all", Duration::from_secs(10), || {
        let who = answers(c, &format!("curl -sf --max-time 2 http://{ip}/"), 20)?;
        ensure!(who.len() == 1, "{who:?}");
        Ok(())
    })?;
    c.shell.ok("$KCTL delete service sticky").map(drop)
}

fn refused(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok("kubectl create service clusterip empty --tcp=80")?;
    let ip = c.shell.ok("$KCTL get service empty -o 'jsonpath={.spec.clusterIP}'")?;
    wait::until("refused at once", Duration::from_secs(5), || {
        let output = c.shell.run(&format!("curl -sS --max-time 2 http://{ip}/"), Duration::from_secs(5))?;
        ensure!(output.code == 7, "curl's exit code {}: {}", output.code, output.stderr);
        Ok(())
    })?;
    c.shell.ok("$KCTL delete service empty").map(drop)
}

fn across_nodes(c: &Cluster) -> anyhow::Result<()> {
    let nodes = c.shell.ok("$KCTL get nodes -o 'jsonpath={.items[*].metadata.name}'")?;
    for node in nodes.split(' ') {
        let spec = format!("{{\"spec\":{{\"nodeName\":\"{node}\"}}}}");
        c.shell.ok(&format!(
            "kubectl run at-{node} --image=kogge/hello --image-pull-policy=IfNotPresent --overrides='{spec}'"
        ))?;
        c.shell.ok(&format!("kubectl run from-{node} --image=busybox --image-pull-policy=IfNotPresent --overrides='{spec}' -- sleep 3600"))?;
    }
    let pods: String = nodes.split(' ').map(|node| format!(" pod/at-{node} pod/from-{node}")).collect();
    c.shell.ok(&format!("$KCTL wait{pods} --for=condition=Ready --timeout=30s"))?;
    for from in nodes.split(' ') {
        for at in nodes.split(' ') {
            let ip = c.shell.ok(&format!("$KCTL get pod at-{at} -o 'jsonpath={{.status.podIP}}'"))?;
            let said = c.shell.ok(&format!("$KCTL exec from-{from} -- timeout 5 wget -qO- http://{ip}:8080/"))?;
            ensure!(said.contains(&format!("at-{at}")), "from {from} to {at}: {said}");
        }
    }
    for node in nodes.split(' ') {
        c.shell.ok(&format!("$KCTL delete pod at-{node} from-{node} --grace-period=1"))?;
    }
    Ok(())
}
