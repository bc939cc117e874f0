//! A table of what people do with kubectl where nodes and controllers take part, run with every kubectl on this machine.
//! What the API server answers alone is in the transcripts of `tests/kubectl`.

use std::time::Duration;

use anyhow::ensure;
use e2e::{clients, scenario::Scenario};

use crate::Cluster;

/// A row: what it shows, the line typed, the exit code, and what standard output or error must hold.
struct Row(&'static str, &'static str, i32, &'static str);

/// Each row starts from what the rows before it left in namespace `table`.
const TABLE: &[Row] = &[
    Row("create namespace", "$K create namespace table", 0, "namespace/table created"),
    Row("apply", "$K -n table apply -f deploy/demo/hello.yaml", 0, "deployment.apps/hello created"),
    Row(
        "apply again changes nothing",
        "$K -n table apply -f deploy/demo/hello.yaml",
        0,
        "deployment.apps/hello unchanged",
    ),
    Row(
        "diff-free",
        "$K -n table apply -f deploy/demo/hello.yaml --dry-run=server",
        0,
        "deployment.apps/hello unchanged",
    ),
    Row("rollout status", "$K -n table rollout status deployment/hello --timeout=60s", 0, "successfully rolled out"),
    Row("get", "$K -n table get deployments", 0, "hello   3/3     3            3"),
    Row("get wide", "$K -n table get deployment hello -o wide", 0, "kogge/hello:latest"),
    Row("get yaml", "$K -n table get deployment hello -o yaml", 0, "kind: Deployment"),
    Row("get by selector", "$K -n table get pods -l app=hello -o name", 0, "pod/hello-"),
    Row("get all", "$K -n table get all", 0, "service/hello"),
    Row("get -w", "timeout 2 $K -n table get pods -w; true", 0, "Running"),
    Row(
        "describe deployment",
        "$K -n table describe deployment hello",
        0,
        "3 desired | 3 updated | 3 total | 3 available",
    ),
    Row("describe pod", "$K -n table describe pod -l app=hello", 0, "Successfully assigned table/hello-"),
    Row("describe node", "$K describe node", 0, "Allocated resources"),
    Row("describe service", "$K -n table describe service hello", 0, "Endpoints:"),
    Row("logs", "$K -n table logs deployment/hello", 0, "listens on port 8080"),
    Row("logs -f", "timeout 2 $K -n table logs -f deployment/hello --tail=1; true", 0, "listens"),
    Row(
        "exec",
        "$K -n table run box --image=busybox --image-pull-policy=IfNotPresent --restart=Never -- sleep 600 && $K -n table wait pod/box --for=condition=Ready --timeout=30s && $K -n table exec box -- echo inside",
        0,
        "inside",
    ),
    Row(
        "exec passes the exit code",
        "$K -n table exec box -- sh -c 'exit 7'",
        7,
        "command terminated with exit code 7",
    ),
    Row("exec with stdin", "echo through | $K -n table exec -i box -- cat", 0, "through"),
    Row(
        "exec with a terminal",
        "script -qec \"$K -n table exec -it box -- sh -c 'test -t 0 && echo terminal'\" /dev/null",
        0,
        "terminal",
    ),
    Row(
        "cp",
        "echo copied > /tmp/kogge-cp.$$ && $K -n table cp /tmp/kogge-cp.$$ box:/tmp/copy && rm /tmp/kogge-cp.$$ && $K -n table exec box -- cat /tmp/copy",
        0,
        "copied",
    ),
    Row("attach", "timeout 1 $K -n table attach box; true", 0, ""),
    Row(
        "port-forward",
        "$K -n table port-forward deployment/hello 18080:8080 >/dev/null & p=$!; for i in 1 2 3 4 5 6 7 8 9 10; do curl -sf --max-time 2 http://127.0.0.1:18080/ && break; sleep 0.3; done; kill $p",
        0,
        "hello-",
    ),
    Row("scale", "$K -n table scale deployment hello --replicas=2", 0, "deployment.apps/hello scaled"),
    Row(
        "set image and rollout",
        "$K -n table set image deployment/hello hello=kogge/hello:v2 && $K -n table rollout status deployment/hello --timeout=60s",
        0,
        "successfully rolled out",
    ),
    Row("rollout history", "$K -n table rollout history deployment/hello", 0, "REVISION"),
    Row(
        "rollout undo",
        "$K -n table rollout undo deployment/hello && $K -n table rollout status deployment/hello --timeout=60s && $K -n table get deployment hello -o jsonpath='{..image}'",
        0,
        "kogge/hello:latest",
    ),
    Row(
        "rollout restart",
        "$K -n table rollout restart deployment/hello && $K -n table rollout status deployment/hello --timeout=60s",
        0,
        "restarted",
    ),
    Row(
        "patch strategic",
        "$K -n table patch deployment hello -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"hello\",\"env\":[{\"name\":\"E\",\"value\":\"1\"}]}]}}}}' && $K -n table get deployment hello -o jsonpath='{.spec.template.spec.containers[0].env[*].name}'",
        0,
        "E POD_NAME",
    ),
    Row(
        "expose",
        "$K -n table expose deployment hello --name=other --port=81 --target-port=8080",
        0,
        "service/other exposed",
    ),
    Row("version", "$K version --output=yaml", 0, "gitVersion: v1.36"),
    Row("cluster-info", "$K cluster-info", 0, "Kubernetes control plane"),
    Row("auth can-i yes", "$K auth can-i create pods", 0, "yes"),
    Row("auth can-i no", "$K auth can-i create pods --as=nobody", 1, "no"),
    Row("auth whoami", "$K auth whoami", 0, "system:masters"),
    Row("raw", "$K get --raw /readyz", 0, "ok"),
    Row("diff", "$K -n table diff -f deploy/demo/hello.yaml | grep '^+.*replicas'", 0, "replicas: 3"),
    Row(
        "apply --server-side meets other managers",
        "$K -n table apply --server-side -f deploy/demo/hello.yaml",
        1,
        ".spec.replicas",
    ),
    Row(
        "apply --server-side --force-conflicts",
        "$K -n table apply --server-side --force-conflicts -f deploy/demo/hello.yaml",
        0,
        "deployment.apps/hello serverside-applied",
    ),
    Row(
        "set env",
        "$K -n table set env deployment/hello F=2 && $K -n table rollout status deployment/hello --timeout=60s && $K -n table get deployment hello -o jsonpath='{..env[*].name}'",
        0,
        "F",
    ),
    Row(
        "sort and columns",
        "$K -n table get pods --sort-by=.metadata.creationTimestamp -o custom-columns=NAME:.metadata.name,PHASE:.status.phase",
        0,
        "Running",
    ),
    Row(
        "events",
        "$K -n table get events --field-selector involvedObject.kind=Deployment",
        0,
        "Scaled up replica set hello-",
    ),
    Row("create token", "$K -n table create serviceaccount robot && $K -n table create token robot", 0, "eyJ"),
    Row(
        "create role and binding",
        "$K -n table create role r --verb=list --resource=pods && $K -n table create rolebinding b --role=r --serviceaccount=table:robot && $K -n table auth can-i list pods --as=system:serviceaccount:table:robot",
        0,
        "yes",
    ),
    Row("auth can-i --list", "$K -n table auth can-i --list --as=system:serviceaccount:table:robot", 0, "[list]"),
    Row("cordon", "$K cordon node-1 && $K get nodes && $K uncordon node-1", 0, "Ready,SchedulingDisabled"),
    Row(
        "taint",
        "$K taint node node-1 a=b:PreferNoSchedule && $K describe node node-1 && $K taint node node-1 a-",
        0,
        "a=b:PreferNoSchedule",
    ),
    Row(
        "port-forward to a service",
        "$K -n table port-forward service/hello 18080:80 >/dev/null & p=$!; for i in 1 2 3 4 5 6 7 8 9 10; do curl -sf --max-time 2 http://127.0.0.1:18080/ && break; sleep 0.3; done; kill $p",
        0,
        "hello-",
    ),
    Row(
        "cp from a pod",
        "$K -n table cp box:/tmp/copy /tmp/kogge-cp.$$ && cat /tmp/kogge-cp.$$ && rm /tmp/kogge-cp.$$",
        0,
        "copied",
    ),
    Row(
        "an ephemeral container",
        "$K -n table debug box --image=busybox --image-pull-policy=IfNotPresent --container=debugger -- sleep 600 && for i in 1 2 3 4 5 6 7 8 9 10; do $K -n table exec box -c debugger -- echo debugging && break; sleep 0.3; done",
        0,
        "debugging",
    ),
    Row(
        "wait for a condition",
        "$K -n table wait deployment/hello --for=condition=Available --timeout=60s",
        0,
        "condition met",
    ),
    Row(
        "wait for jsonpath",
        "$K -n table wait pod/box --for=jsonpath='{.status.phase}'=Running --timeout=10s",
        0,
        "condition met",
    ),
    Row(
        "delete --cascade=orphan",
        "$K -n table delete deployment hello --cascade=orphan && $K -n table get rs -l app=hello -o name",
        0,
        "replicaset.apps/hello-",
    ),
    Row(
        "delete --cascade=foreground",
        "$K -n table delete rs -l app=hello --cascade=foreground --timeout=90s && $K -n table get pods -l app=hello -o name --ignore-not-found | wc -l",
        0,
        "0",
    ),
    Row("delete a pod now", "$K -n table delete pod box --now", 0, "pod \"box\" deleted"),
    Row("delete what is not there", "$K -n table delete pod nothing --ignore-not-found", 0, ""),
    Row("delete namespace", "$K delete namespace table --timeout=90s", 0, "namespace \"table\" deleted"),
];

/// Rows that older versions cannot pass, with any server: 1.27 asks `auth whoami` of a group version that is gone since,
/// and `rollout undo` writes the old template as kubectl knows it, without the `sleep` hook that came with 1.29.
const SINCE: &[(&str, &str)] = &[("auth whoami", "1.28"), ("rollout undo", "1.29")];

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    let mut all = vec![];
    for (version, path) in clients::kubectls() {
        all.push(Scenario::new(format!("kubectl::{version}"), move |c: &Cluster| {
            let shell = c.shell.clone().with("K", &path);
            let mut failed = vec![];
            for Row(what, line, code, holds) in TABLE {
                if SINCE.iter().any(|(row, since)| row == what && version.as_str() < *since) {
                    continue;
                }
                let verdict = match shell.run(line, Duration::from_secs(150)) {
                    Ok(output)
                        if output.code == *code
                            && [&output.stdout, &output.stderr].iter().any(|s| s.contains(holds)) =>
                    {
                        continue;
                    }
                    Ok(output) => format!("exit code {}\n{}{}", output.code, output.stdout, output.stderr),
                    Err(error) => format!("{error:#}"),
                };
                failed.push(format!("row {what:?}: {line}\n{verdict}"));
            }
            shell.run("$K delete namespace table --ignore-not-found --wait --timeout=60s", Duration::from_secs(90))?;
            ensure!(failed.is_empty(), "{}", failed.join("\n"));
            println!("  {} rows", TABLE.len());
            Ok(())
        }));
    }
    if all.is_empty() {
        println!("no kubectl on the PATH: its table is not run");
    }
    all
}
