//! What ownership costs a write: microseconds of processor time for a pod's create and for a kubelet's status patch, and of
//! the steps around them. Build it with `--release`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails by panicking")]

use api_rules::{Encoding, FieldValidation, apply, document, encode_with, kinds};
use serde_json::{Value, json};

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-6d4b75cb6d-", "name": "web-6d4b75cb6d-abcde", "namespace": "default",
        "labels": {"app": "web", "pod-template-hash": "6d4b75cb6d"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4b75cb6d", "uid": "6a9f6b0e-1", "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"containers": [
            {"name": "a", "image": "registry/x:1", "args": ["a", "b"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
             "ports": [{"containerPort": 80, "name": "http"}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
             "livenessProbe": {"httpGet": {"path": "/", "port": 80}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"name": "b", "image": "registry/y:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}],
            "tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"a": "b"}}})
}

fn status() -> Value {
    let condition = |t: &str| json!({"type": t, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1});
    json!({"status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "startTime": "2026-01-01T00:00:00Z",
        "conditions": [condition("Ready"), condition("Initialized"), condition("ContainersReady"), condition("PodReadyToStartContainers")],
        "containerStatuses": [{"name": "a", "ready": true, "restartCount": 0, "image": "registry/x:1", "imageID": "x", "containerID": "containerd://x", "started": true, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
            {"name": "b", "ready": true, "restartCount": 0, "image": "registry/y:1", "imageID": "y", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}})
}

/// Nanoseconds that this process has run.
fn on_cpu() -> u64 {
    std::fs::read_to_string("/proc/self/schedstat").unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn timed<T>(what: &str, mut work: impl FnMut() -> T) {
    const TIMES: u32 = 5_000;
    for _ in 0..1000 {
        std::hint::black_box(work());
    }
    let begun = on_cpu();
    for _ in 0..TIMES {
        std::hint::black_box(work());
    }
    println!("{what:40} {:8.2} µs", (on_cpu() - begun) as f64 / 1e3 / f64::from(TIMES));
}

fn main() {
    let kind = kinds::find("", "v1", "pods").unwrap();
    let typing = kind.typing();
    let resets = apply::resets(kind, &typing, "");
    let body = pod().to_string();
    let decode = || {
        let mut object = kind.decode(body.as_bytes(), Encoding::Json, FieldValidation::Warn).unwrap().object;
        kind.set_defaults(&mut object);
        object
    };
    let subject = apply::Subject {
        typing: &typing,
        api_version: "v1",
        subresource: "",
        resets: &resets,
        versions: &apply::OneVersion,
        now: "2026-01-01T00:00:00Z",
    };
    let object = decode();
    let managed = apply::track(subject, "kube-controller-manager", None, &object, b"").unwrap().unwrap();
    println!(
        "object {} bytes, managedFields {} bytes\n{}",
        encode_with(&object, b"").len(),
        managed.len(),
        String::from_utf8_lossy(&managed)
    );
    timed("decode and default", decode);
    timed("parse only", || document::parse(body.as_bytes(), Encoding::Json).unwrap());
    timed("decode only", || kind.decode(body.as_bytes(), Encoding::Json, FieldValidation::Warn).unwrap());
    timed("validate", || kind.validate_create(&object));
    timed("track a create", || apply::track(subject, "kube-controller-manager", None, &object, b"").unwrap().unwrap());
    timed("typing and resets", || {
        let t = kind.typing();
        apply::resets(kind, &t, "status")
    });
    let stored = encode_with(&object, &managed);
    timed("encode", || encode_with(&object, &managed));
    timed("read whole", || serde_json::from_slice::<Value>(&stored).unwrap());
    timed("read without owners", || apply::split(&stored).unwrap().object);
    let patch = status().to_string();
    let patched = api_rules::patch::strategic::apply(&object, patch.as_bytes(), kind.schema().unwrap()).unwrap();
    let resets = apply::resets(kind, &typing, "status");
    let subject = apply::Subject { subresource: "status", resets: &resets, ..subject };
    timed("patch", || api_rules::patch::strategic::apply(&object, patch.as_bytes(), kind.schema().unwrap()).unwrap());
    timed("track the first status", || {
        apply::track(subject, "kubelet", Some(&object), &patched, &managed).unwrap().unwrap()
    });
    let second = apply::track(subject, "kubelet", Some(&object), &patched, &managed).unwrap().unwrap();
    let mut again = patched.clone();
    again["status"]["conditions"][0]["status"] = json!("False");
    again["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    timed("track another status", || {
        apply::track(subject, "kubelet", Some(&patched), &again, &second).unwrap().unwrap()
    });
    timed("track nothing", || apply::track(subject, "kubelet", Some(&patched), &patched, &second).unwrap());
    let config = pod();
    timed("apply again", || apply::apply(subject, "me", true, Some(&patched), &config, &second).unwrap());
}
