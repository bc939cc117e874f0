//! Fields of a pod that end in the kernel: what a container finds when it looks at itself.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{file, get};
use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("kubelet::security_reaches_containers", security),
        Scenario::new("kubelet::namespaces_of_the_host", namespaces),
        Scenario::new("kubelet::refusals_and_last_words", refusals),
    ]
}

const SECURED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: secured}
data: {key: value}
---
apiVersion: v1
kind: Pod
metadata: {name: secured}
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsUser: 1000
    runAsGroup: 2000
    fsGroup: 3000
    supplementalGroups: [4000]
    seccompProfile: {type: Localhost, localhostProfile: e2e/no-mkdir.json}
    sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "80"}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "1000"]
    env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: data, mountPath: /part, subPathExpr: "of/$(NAME)"}
    - {name: settings, mountPath: /settings/key, subPath: key}
    - {name: settings, mountPath: /all}
  volumes:
  - {name: data, emptyDir: {}}
  - {name: settings, configMap: {name: secured, defaultMode: 0400}}
"#;

const NO_MKDIR: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#;

fn security(c: &Cluster) -> anyhow::Result<()> {
    let profile = file(c, "kubelet/seccomp/e2e");
    std::fs::create_dir_all(&profile)?;
    std::fs::write(profile.join("no-mkdir.json"), NO_MKDIR)?;
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{SECURED}\nEND"))?;
    c.shell.ok("kubectl wait pod/secured --for=condition=Ready --timeout=30s")?;
    let check = |command: &str, want: &str| {
        let said = c.shell.ok(&format!("kubectl exec secured -- sh -c '{command}'"))?;
        ensure!(said.trim_end() == want, "{command} said {said:?}, not {want:?}");
        anyhow::Ok(())
    };
    check("id", "uid=1000 gid=2000 groups=2000,3000,4000")?;
    check("touch /file 2>&1 || true", "touch: /file: Read-only file system")?;
    check(
        "mkdir /data/x 2>&1 || true",
        "mkdir: can\u{27}t create directory \u{27}/data/x\u{27}: Operation not permitted",
    )?;
    check(
        "grep -E \"^(CapEff|CapBnd|NoNewPrivs|Seccomp):\" /proc/self/status | tr -s \"\\t\\n\" \" \"",
        "CapEff: 0000000000000000 CapBnd: 0000000000000400 NoNewPrivs: 1 Seccomp: 2",
    )?;
    check("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "80")?;
    check("echo x >/data/file; stat -c \"%u %g\" /data/file; stat -c %g /data", "1000 3000\n3000")?;
    check("echo y >/part/file; cat /data/of/secured/file", "y")?;
    check("cat /settings/key; stat -L -c \" %a %g\" /all/key", "value 440 3000")?;
    c.shell.ok("kubectl delete pod/secured configmap/secured --grace-period=1").map(drop)
}

const HOSTED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: hosted}
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  hostPID: true
  hostIPC: true
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: together}
spec:
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  containers:
  - {name: a, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1001"]}
  - {name: b, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1002"]}
"#;

fn namespaces(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{HOSTED}\nEND"))?;
    c.shell.ok("kubectl wait pod/hosted pod/together --for=condition=Ready --timeout=30s")?;
    let inside = |namespace: &str| c.shell.ok(&format!("kubectl exec hosted -- readlink /proc/self/ns/{namespace}"));
    for namespace in ["pid", "ipc"] {
        ensure!(inside(namespace)? == c.shell.ok(&format!("readlink /proc/self/ns/{namespace}"))?, "{namespace}");
    }
    let address = get(c, "node/node-3", "{.status.addresses[?(@.type==\"InternalIP\")].address}")?;
    ensure!(get(c, "pod/hosted", "{.status.podIP}")? == address);
    let seen = c.shell.ok("kubectl exec together -c a -- ps")?;
    ensure!(seen.contains("/pause") && seen.contains("sleep 1002"), "{seen}");
    c.shell.ok("kubectl delete pod hosted together --grace-period=1").map(drop)
}

const REFUSED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: rooted}
spec:
  securityContext: {runAsNonRoot: true}
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unsafe}
spec:
  securityContext: {sysctls: [{name: kernel.msgmax, value: "80"}]}
  containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: last-words}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, "echo it is over; exit 4"]
"#;

fn refusals(c: &Cluster) -> anyhow::Result<()> {
    c.shell.ok(&format!("kubectl apply -f - <<'END'\n{REFUSED}\nEND"))?;
    let check = |pod: &str, path: &str, want: &str| {
        wait::until("the pod's status", Duration::from_secs(30), || {
            let got = get(c, &format!("pod/{pod}"), path)?;
            ensure!(got.starts_with(want), "{got}");
            Ok(())
        })
    };
    check(
        "rooted",
        "{.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}",
        "CreateContainerConfigError: container has runAsNonRoot and image will run as root",
    )?;
    check(
        "unsafe",
        "{.status.reason}: {.status.message}",
        "SysctlForbidden: Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted",
    )?;
    check("last-words", "{.status.containerStatuses[0].state.terminated.message}", "it is over\n")?;
    c.shell.ok("kubectl delete pod rooted unsafe last-words --grace-period=1").map(drop)
}
