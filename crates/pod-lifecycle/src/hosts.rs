//! A pod's host name and its `/etc/hosts`.

use crate::{core::Pod, names};

const HEADER: &str = "# Kubernetes-managed hosts file.\n\
127.0.0.1\tlocalhost\n\
::1\tlocalhost ip6-localhost ip6-loopback\n\
fe00::0\tip6-localnet\n\
fe00::0\tip6-mcastprefix\n\
fe00::1\tip6-allnodes\n\
fe00::2\tip6-allrouters\n";
const HOST_HEADER: &str = "# Kubernetes-managed hosts file (host network).\n";
/// The longest name Linux takes for a host.
const MAX_HOSTNAME: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    /// What the pod's processes see as their host name.
    pub name: String,
    /// Empty, or `subdomain.namespace.svc.cluster.local`.
    pub domain: String,
    short: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({MAX_HOSTNAME} characters is the max, {} characters requested)", .fqdn.len())]
pub struct TooLong {
    fqdn: String,
}

pub fn hostname(pod: &Pod, cluster_domain: &str) -> Result<Hostname, TooLong> {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec.and_then(|s| s.hostname_override.as_deref()).filter(|h| !h.is_empty()) {
        return Ok(Hostname { name: name.to_owned(), domain: String::new(), short: name.to_owned() });
    }
    let asked = spec.and_then(|s| s.hostname.as_deref()).filter(|h| !h.is_empty());
    let short = asked.map_or_else(|| truncated(names::name(pod)), str::to_owned);
    let subdomain = spec.and_then(|s| s.subdomain.as_deref()).filter(|s| !s.is_empty());
    let domain = subdomain.map_or_else(String::new, |s| format!("{s}.{}.svc.{cluster_domain}", names::namespace(pod)));
    let mut name = short.clone();
    if !domain.is_empty() && spec.and_then(|s| s.set_hostname_as_fqdn).unwrap_or(false) {
        name = format!("{short}.{domain}");
        if name.len() > MAX_HOSTNAME {
            return Err(TooLong { fqdn: name });
        }
    }
    Ok(Hostname { name, domain, short })
}

/// A pod's name may be longer than a host's.
fn truncated(name: &str) -> String {
    if name.len() < MAX_HOSTNAME {
        return name.to_owned();
    }
    name[..MAX_HOSTNAME - 1].trim_end_matches(['-', '.']).to_owned()
}

/// The file's content. `host_file` is the node's own, which a pod in the host's network sees.
pub fn file(pod: &Pod, hostname: &Hostname, ips: &[String], host_file: &str) -> String {
    let mut text = if names::host_network(pod) {
        format!("{HOST_HEADER}{host_file}")
    } else {
        let own = ips.iter().map(|ip| match hostname.domain.as_str() {
            "" => format!("{ip}\t{}\n", hostname.short),
            domain => format!("{ip}\t{}.{domain}\t{}\n", hostname.short, hostname.short),
        });
        HEADER.to_owned() + &own.collect::<String>()
    };
    let aliases = pod.spec.as_ref().and_then(|s| s.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        text += "\n# Entries added by HostAliases.\n";
        for alias in aliases {
            text += &format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pod;

    #[test]
    fn names() {
        let mut pod = pod("Always", &[], &["a"]);
        assert_eq!(hostname(&pod, "cluster.local").unwrap().name, "web");
        let spec = pod.spec.as_mut().unwrap();
        spec.subdomain = Some("sub".into());
        spec.set_hostname_as_fqdn = Some(true);
        let fqdn = hostname(&pod, "cluster.local").unwrap();
        assert_eq!(fqdn.name, "web.sub.default.svc.cluster.local");
        assert!(
            file(&pod, &fqdn, &["10.0.0.5".into()], "").ends_with("10.0.0.5\tweb.sub.default.svc.cluster.local\tweb\n")
        );
        pod.spec.as_mut().unwrap().hostname = Some("x".repeat(60));
        assert!(hostname(&pod, "cluster.local").is_err());
    }

    #[test]
    fn aliases_follow() {
        let mut pod = pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().host_aliases =
            serde_json::from_value(serde_json::json!([{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])).unwrap();
        let name = hostname(&pod, "cluster.local").unwrap();
        assert!(file(&pod, &name, &[], "").ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    }
}
