//! Variables that describe the Services a pod can reach, in Docker's link style.

use std::collections::BTreeMap;

/// A Service with a cluster address, as far as its variables need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSeen {
    pub namespace: String,
    pub name: String,
    pub ip: String,
    pub ports: Vec<PortSeen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSeen {
    pub name: String,
    pub port: i32,
    pub protocol: String,
}

/// The `kubernetes` Service always; those of the pod's namespace when service links are on.
pub fn variables(services: &[ServiceSeen], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let master = |s: &ServiceSeen| s.namespace == "default" && s.name == "kubernetes";
    // A Service of the pod's own namespace wins over the master's of the same name.
    for service in
        services.iter().filter(|s| master(s)).chain(services.iter().filter(|s| links && s.namespace == namespace))
    {
        one(service, &mut env);
    }
    env
}

fn one(service: &ServiceSeen, env: &mut BTreeMap<String, String>) {
    let Some(first) = service.ports.first() else { return };
    let upper = |s: &str| s.replace('-', "_").to_uppercase();
    let (name, ip) = (upper(&service.name), &service.ip);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let url = |port: &PortSeen| format!("{}://{host}:{}", port.protocol.to_lowercase(), port.port);
    env.insert(format!("{name}_SERVICE_HOST"), ip.clone());
    env.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
    env.insert(format!("{name}_PORT"), url(first));
    for port in &service.ports {
        if !port.name.is_empty() {
            env.insert(format!("{name}_SERVICE_PORT_{}", upper(&port.name)), port.port.to_string());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, port.protocol.to_uppercase());
        env.insert(prefix.clone(), url(port));
        env.insert(format!("{prefix}_PROTO"), port.protocol.to_lowercase());
        env.insert(format!("{prefix}_PORT"), port.port.to_string());
        env.insert(format!("{prefix}_ADDR"), ip.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let service = |namespace: &str, name: &str| ServiceSeen {
            namespace: namespace.into(),
            name: name.into(),
            ip: "10.0.0.1".into(),
            ports: vec![PortSeen { name: "http".into(), port: 80, protocol: "TCP".into() }],
        };
        let all = [service("default", "kubernetes"), service("a", "my-svc"), service("b", "other")];
        let env = variables(&all, "a", true);
        assert_eq!(env["MY_SVC_SERVICE_HOST"], "10.0.0.1");
        assert_eq!(env["MY_SVC_SERVICE_PORT_HTTP"], "80");
        assert_eq!(env["MY_SVC_PORT_80_TCP"], "tcp://10.0.0.1:80");
        assert_eq!(env["KUBERNETES_PORT_80_TCP_ADDR"], "10.0.0.1");
        assert!(!env.contains_key("OTHER_SERVICE_HOST"));
        assert!(!variables(&all, "a", false).contains_key("MY_SVC_SERVICE_HOST"));
    }
}
