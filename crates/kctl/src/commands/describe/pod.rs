//! A pod: where it runs, what its containers are and do.

use serde_json::Value;

use super::text::{Text, joined, list, word};
use crate::output::jsonpath::shown;

pub fn describe(text: &mut Text, pod: &Value) {
    let (meta, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    text.field("Name", word(&meta["name"]));
    text.field("Namespace", word(&meta["namespace"]));
    text.field("Priority", shown(&spec["priority"]));
    text.optional("Priority Class Name", &spec["priorityClassName"]);
    text.optional("Service Account", &spec["serviceAccountName"]);
    let host = [word(&spec["nodeName"]), word(&status["hostIP"])].into_iter().filter(|t| !t.is_empty());
    let host = host.collect::<Vec<_>>().join("/");
    text.field("Node", if host.is_empty() { "<none>" } else { &host });
    text.optional("Start Time", &status["startTime"]);
    text.labels(pod);
    match &meta["deletionTimestamp"] {
        Value::Null => text.field("Status", word(&status["phase"])),
        since => {
            text.field("Status", format!("Terminating (since {})", shown(since)));
            text.field("Termination Grace Period", format!("{}s", shown(&meta["deletionGracePeriodSeconds"])));
        }
    }
    text.optional("Reason", &status["reason"]);
    text.optional("Message", &status["message"]);
    text.field("IP", word(&status["podIP"]));
    let ips = list(&status["podIPs"]);
    if ips.is_empty() {
        text.field("IPs", "<none>");
    } else {
        text.line("IPs:");
        text.indented(|text| ips.iter().for_each(|ip| text.field("IP", word(&ip["ip"]))));
    }
    if let Some(owner) = list(&meta["ownerReferences"]).iter().find(|o| o["controller"] == true) {
        text.field("Controlled By", format!("{}/{}", word(&owner["kind"]), word(&owner["name"])));
    }
    for (title, containers, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        let containers = list(&spec[containers]);
        if containers.is_empty() {
            continue;
        }
        text.line(&format!("{title}:"));
        text.indented(|text| {
            for container in containers {
                let status = list(&status[statuses]).iter().find(|s| s["name"] == container["name"]);
                describe_container(text, container, status.unwrap_or(&Value::Null));
            }
        });
    }
    text.conditions(pod, &[("Type", "type"), ("Status", "status")]);
    volumes(text, list(&spec["volumes"]));
    text.field("QoS Class", word(&status["qosClass"]));
    text.map("Node-Selectors", &spec["nodeSelector"], "=");
    let tolerations: Vec<_> = list(&spec["tolerations"]).iter().map(toleration).collect();
    let mut lines = tolerations.iter();
    text.field("Tolerations", lines.next().map_or("<none>", String::as_str));
    lines.for_each(|line| text.line(&format!("\t{line}")));
}

pub fn describe_container(text: &mut Text, container: &Value, status: &Value) {
    text.line(&format!("{}:", word(&container["name"])));
    text.indented(|text| {
        if !status.is_null() {
            text.field("Container ID", word(&status["containerID"]));
        }
        text.field("Image", word(&container["image"]));
        if !status.is_null() {
            text.field("Image ID", word(&status["imageID"]));
        }
        let port = |p: &Value, field: &str| format!("{}/{}", shown(&p[field]), p["protocol"].as_str().unwrap_or("TCP"));
        let ports = list(&container["ports"]);
        text.field("Port", joined(ports.iter().map(|p| port(p, "containerPort"))));
        let host = ports.iter().filter(|p| !p["hostPort"].is_null());
        text.field("Host Port", joined(host.map(|p| port(p, "hostPort"))));
        for (title, field) in [("Command", "command"), ("Args", "args")] {
            let words = list(&container[field]);
            if !words.is_empty() {
                text.line(&format!("{title}:"));
                text.indented(|text| {
                    words.iter().for_each(|w| word(w).lines().for_each(|line| text.line(line)));
                });
            }
        }
        if !status.is_null() {
            state(text, "State", &status["state"]);
            if status["lastState"].as_object().is_some_and(|s| !s.is_empty()) {
                state(text, "Last State", &status["lastState"]);
            }
            text.field("Ready", if status["ready"] == true { "True" } else { "False" });
            text.field("Restart Count", shown(&status["restartCount"]));
        }
        for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
            if let Some(amounts) = container["resources"][field].as_object().filter(|a| !a.is_empty()) {
                text.line(&format!("{title}:"));
                text.indented(|text| amounts.iter().for_each(|(name, amount)| text.field(name, shown(amount))));
            }
        }
        for (title, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if !container[field].is_null() {
                text.field(title, probe(&container[field]));
            }
        }
        environment(text, container);
        let mounts = list(&container["volumeMounts"]);
        if mounts.is_empty() {
            text.field("Mounts", "<none>");
        } else {
            text.line("Mounts:");
            text.indented(|text| {
                for mount in mounts {
                    let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
                    let path = mount["subPath"].as_str().map(|p| format!(",path=\"{p}\"")).unwrap_or_default();
                    text.line(&format!("{} from {} ({mode}{path})", word(&mount["mountPath"]), word(&mount["name"])));
                }
            });
        }
    });
}

fn state(text: &mut Text, title: &str, state: &Value) {
    if !state["running"].is_null() {
        text.field(title, "Running");
        text.indented(|text| text.optional("Started", &state["running"]["startedAt"]));
    } else if !state["terminated"].is_null() {
        let ended = &state["terminated"];
        text.field(title, "Terminated");
        text.indented(|text| {
            text.optional("Reason", &ended["reason"]);
            text.optional("Message", &ended["message"]);
            text.field("Exit Code", shown(&ended["exitCode"]));
            text.optional("Signal", &ended["signal"]);
            text.optional("Started", &ended["startedAt"]);
            text.optional("Finished", &ended["finishedAt"]);
        });
    } else {
        text.field(title, "Waiting");
        text.indented(|text| text.optional("Reason", &state["waiting"]["reason"]));
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let times = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3)
    );
    let how = if let Some(command) = probe["exec"]["command"].as_array() {
        format!("exec [{}]", command.iter().map(word).collect::<Vec<_>>().join(" "))
    } else if !probe["httpGet"].is_null() {
        let get = &probe["httpGet"];
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        format!("http-get {scheme}://{}:{}{}", word(&get["host"]), shown(&get["port"]), word(&get["path"]))
    } else if !probe["tcpSocket"].is_null() {
        format!("tcp-socket {}:{}", word(&probe["tcpSocket"]["host"]), shown(&probe["tcpSocket"]["port"]))
    } else if !probe["grpc"].is_null() {
        format!("grpc <pod>:{} {}", shown(&probe["grpc"]["port"]), word(&probe["grpc"]["service"]))
    } else {
        "unknown".to_owned()
    };
    format!("{how} {times}")
}

fn environment(text: &mut Text, container: &Value) {
    let sources = list(&container["envFrom"]);
    if !sources.is_empty() {
        text.line("Environment Variables from:");
        text.indented(|text| {
            for source in sources {
                let (kind, from) = if source["configMapRef"].is_null() {
                    ("Secret", &source["secretRef"])
                } else {
                    ("ConfigMap", &source["configMapRef"])
                };
                text.line(&format!("{}\t{kind}\tOptional: {}", word(&from["name"]), from["optional"] == true));
            }
        });
    }
    let variables = list(&container["env"]);
    if variables.is_empty() {
        return text.field("Environment", "<none>");
    }
    text.line("Environment:");
    text.indented(|text| {
        for variable in variables {
            let from = &variable["valueFrom"];
            let value = if let Some(field) = from["fieldRef"]["fieldPath"].as_str() {
                format!(" ({}:{field})", from["fieldRef"]["apiVersion"].as_str().unwrap_or("v1"))
            } else if !from["resourceFieldRef"].is_null() {
                shown(&from["resourceFieldRef"]["resource"])
            } else if !from["secretKeyRef"].is_null() {
                let key = &from["secretKeyRef"];
                format!("<set to the key '{}' in secret '{}'>", word(&key["key"]), word(&key["name"]))
            } else if !from["configMapKeyRef"].is_null() {
                let key = &from["configMapKeyRef"];
                format!("<set to the key '{}' of config map '{}'>", word(&key["key"]), word(&key["name"]))
            } else {
                shown(&variable["value"])
            };
            text.field(word(&variable["name"]), value);
        }
    });
}

fn volumes(text: &mut Text, volumes: &[Value]) {
    if volumes.is_empty() {
        return text.field("Volumes", "<none>");
    }
    text.line("Volumes:");
    text.indented(|text| {
        for volume in volumes {
            text.line(&format!("{}:", word(&volume["name"])));
            let source = volume.as_object().into_iter().flatten().find(|(k, _)| *k != "name");
            text.indented(|text| {
                let Some((kind, source)) = source else { return };
                let title: String =
                    kind.chars().take(1).flat_map(char::to_uppercase).chain(kind.chars().skip(1)).collect();
                text.field("Type", title);
                for field in
                    ["name", "secretName", "path", "claimName", "medium", "sizeLimit", "optional", "defaultMode"]
                {
                    text.optional(field, &source[field]);
                }
                for source in list(&source["sources"]) {
                    for (kind, source) in source.as_object().into_iter().flatten() {
                        let detail = ["name", "expirationSeconds"].iter().map(|f| shown(&source[*f]));
                        text.field(kind, detail.filter(|d| !d.is_empty()).collect::<Vec<_>>().join(" "));
                    }
                }
            });
        }
    });
}

fn toleration(toleration: &Value) -> String {
    let mut out = word(&toleration["key"]).to_owned();
    if let Some(value) = toleration["value"].as_str().filter(|v| !v.is_empty()) {
        out.push_str(&format!("={value}"));
    }
    if let Some(effect) = toleration["effect"].as_str().filter(|e| !e.is_empty()) {
        out.push_str(&format!(":{effect}"));
    }
    if toleration["operator"] == "Exists" && toleration["value"].is_null() {
        out.push_str(if out.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        out.push_str(&format!(" for {seconds}s"));
    }
    out
}
