//! What stands in a pod's `/etc/resolv.conf`, from its DNS policy, its own settings and the node's file.

use crate::{core::Pod, names};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// The cluster's side of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pub servers: Vec<String>,
    pub domain: String,
}

/// Reads a resolv.conf; of several `search` or `options` lines the last counts.
pub fn parse(text: &str) -> Resolv {
    let mut resolv = Resolv::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let rest: Vec<String> = words.map(str::to_owned).collect();
        match keyword {
            "nameserver" => resolv.servers.extend(rest.into_iter().take(1)),
            "search" => {
                resolv.searches =
                    rest.into_iter().map(|s| if s == "." { s } else { s.trim_end_matches('.').to_owned() }).collect()
            }
            "options" => resolv.options = rest,
            _ => {}
        }
    }
    resolv
}

/// The pod's settings, and whether it had to fall back to the node's because the cluster has no DNS.
pub fn resolv(pod: &Pod, cluster: &Cluster, node: &Resolv) -> (Resolv, bool) {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|s| s.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let first = match policy {
        "ClusterFirst" => !names::host_network(pod),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let (mut resolv, missing) = match policy {
        "None" => (Resolv::default(), false),
        _ if first && !cluster.servers.is_empty() => (cluster_first(pod, cluster, node), false),
        _ => (node.clone(), first),
    };
    if let Some(own) = spec.and_then(|s| s.dns_config.as_ref()) {
        resolv.servers.extend(own.nameservers.clone().unwrap_or_default());
        resolv.searches.extend(own.searches.clone().unwrap_or_default());
        for option in own.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            resolv.options.retain(|o| o.split(':').next() != Some(&name));
            resolv.options.push(match &option.value {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            });
        }
    }
    dedupe(&mut resolv.servers);
    dedupe(&mut resolv.searches);
    (resolv, missing)
}

fn cluster_first(pod: &Pod, cluster: &Cluster, node: &Resolv) -> Resolv {
    let mut searches = vec![];
    if !cluster.domain.is_empty() {
        let domain = &cluster.domain;
        searches = vec![format!("{}.svc.{domain}", names::namespace(pod)), format!("svc.{domain}"), domain.clone()];
    }
    searches.extend(node.searches.iter().cloned());
    Resolv { servers: cluster.servers.clone(), searches, options: vec!["ndots:5".into()] }
}

fn dedupe(list: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pod;

    fn check(policy: &str, host_network: bool, config: serde_json::Value, want: &str) {
        let mut pod = pod("Always", &[], &["a"]);
        let spec = pod.spec.as_mut().unwrap();
        spec.dns_policy = Some(policy.into());
        spec.host_network = Some(host_network);
        spec.dns_config = serde_json::from_value(config).unwrap();
        let cluster = Cluster { servers: vec!["10.96.0.10".into()], domain: "cluster.local".into() };
        let node = parse("nameserver 8.8.8.8 # x\nsearch corp.\noptions edns0\n");
        let (got, _) = resolv(&pod, &cluster, &node);
        assert_eq!(format!("{} | {} | {}", got.servers.join(" "), got.searches.join(" "), got.options.join(" ")), want);
    }

    #[test]
    fn policies() {
        let none = serde_json::Value::Null;
        let first = "10.96.0.10 | default.svc.cluster.local svc.cluster.local cluster.local corp | ndots:5";
        check("ClusterFirst", false, none.clone(), first);
        check("ClusterFirst", true, none.clone(), "8.8.8.8 | corp | edns0");
        check("ClusterFirstWithHostNet", true, none.clone(), first);
        check("Default", false, none, "8.8.8.8 | corp | edns0");
        let own = serde_json::json!({"nameservers": ["1.1.1.1"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        check("None", false, own.clone(), "1.1.1.1 | x.y | ndots:2 edns0");
        check(
            "ClusterFirst",
            false,
            own,
            "10.96.0.10 1.1.1.1 | default.svc.cluster.local svc.cluster.local cluster.local corp x.y | ndots:2 edns0",
        );
    }
}
