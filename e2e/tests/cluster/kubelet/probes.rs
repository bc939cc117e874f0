//! Probes over TLS and gRPC, and hooks over HTTP, against real servers.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{file, get};
use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("kubelet::probes_over_tls", over_tls),
        Scenario::new("kubelet::probes_over_grpc", over_grpc),
        Scenario::new("kubelet::hooks_over_http", hooks),
    ]
}

const OVER_TLS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: tls-server}
data:
  nginx.conf: |
    events {}
    http {
      server {
        listen 8443 ssl;
        ssl_certificate /tls/tls.crt;
        ssl_certificate_key /tls/tls.key;
        location /moved { return 302 /; }
        location / { return 200 "ok"; }
      }
    }
---
apiVersion: v1
kind: Pod
metadata: {name: tls-server}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: nginx
    image: nginx
    imagePullPolicy: IfNotPresent
    command: [nginx, -g, "daemon off; error_log stderr;", -c, /conf/nginx.conf]
    ports: [{name: tls, containerPort: 8443}]
    readinessProbe: {httpGet: {scheme: HTTPS, port: tls, path: /moved}, periodSeconds: 1}
    volumeMounts: [{name: tls, mountPath: /tls}, {name: conf, mountPath: /conf}]
  volumes:
  - {name: tls, secret: {secretName: tls-server}}
  - {name: conf, configMap: {name: tls-server}}
"#;

/// The certificate is a node's own: whom it names does not matter to a probe.
fn over_tls(c: &Cluster) -> anyhow::Result<()> {
    let (cert, key) = (file(c, "pki/kubelet.crt"), file(c, "pki/kubelet.key"));
    c.shell.ok(&format!("kubectl create secret tls tls-server --cert={} --key={}", cert.display(), key.display()))?;
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{OVER_TLS}\nEND"))?;
    c.shell.ok("kubectl wait pod/tls-server --for=condition=Ready --timeout=30s")?;
    c.shell.ok("kubectl delete pod/tls-server secret/tls-server configmap/tls-server --grace-period=1").map(drop)
}

const OVER_GRPC: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: grpc-server}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: hello
    image: kogge/hello
    imagePullPolicy: IfNotPresent
    startupProbe: {grpc: {port: 8080}, periodSeconds: 1}
    readinessProbe: {grpc: {port: 8080, service: hello}, periodSeconds: 1, failureThreshold: 1}
  - name: stranger
    image: kogge/hello
    imagePullPolicy: IfNotPresent
    env: [{name: PORT, value: "8081"}]
    readinessProbe: {grpc: {port: 8081, service: nobody}, periodSeconds: 1}
"#;

fn over_grpc(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{OVER_GRPC}\nEND"))?;
    let ready = |wanted: &str| {
        wait::until("readiness as the server says", Duration::from_secs(30), || {
            let ready = "{range .status.containerStatuses[*]}{.name}={.ready} {end}";
            let ready = get(c, "pod/grpc-server", ready)?;
            ensure!(ready == wanted, "{ready}");
            Ok(())
        })
    };
    ready("hello=true stranger=false ")?;
    let ip = get(c, "pod/grpc-server", "{.status.podIP}")?;
    c.shell.ok(&format!("curl -sf --max-time 5 http://{ip}:8080/healthz/off"))?;
    ready("hello=false stranger=false ")?;
    let events = c.shell.ok("kubectl get events --field-selector involvedObject.name=grpc-server,reason=Unhealthy")?;
    ensure!(events.contains("service unhealthy (responded with \"NOT_SERVING\")"), "{events}");
    c.shell.ok("kubectl delete pod grpc-server --grace-period=1").map(drop)
}

/// The server must be up before its neighbour starts: containers start in their order.
const HOOKED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: server
    image: kogge/hello
    imagePullPolicy: IfNotPresent
    restartPolicy: Always
    ports: [{name: web, containerPort: 8080}]
    startupProbe: {httpGet: {port: web, path: /healthz}, periodSeconds: 1}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "trap exit TERM; while true; do sleep 0.2; done"]
    lifecycle:
      postStart: {httpGet: {port: 8080, path: "/log?line=started"}}
      preStop: {httpGet: {port: 8080, path: "/log?line=stopping"}}
"#;

fn hooks(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{HOOKED}\nEND"))?;
    c.shell.ok("kubectl wait pod/hooked --for=condition=Ready --timeout=30s")?;
    let said = c.shell.ok("kubectl logs hooked -c server")?;
    ensure!(said.contains("started\n"), "{said}");
    let said = c.shell.ok("out=$(mktemp); kubectl logs -f hooked -c server >$out & follow=$!; \
         kubectl delete pod hooked >/dev/null; wait $follow; cat $out; rm $out")?;
    ensure!(said.contains("stopping\n"), "{said}");
    Ok(())
}
