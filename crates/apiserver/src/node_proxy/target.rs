//! Whom `pods/proxy`, `services/proxy` and `nodes/proxy` lead to.
//!
//! Only to what a pod or node of the cluster says its address is: who may write an Endpoints object must not be able to
//! make the API server call any address there is.

use std::{fmt::Write, io, net::IpAddr};

use api_types::Status;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{
    find,
    forward::Connection,
    kubelet::{PATIENCE, connect_tls, unchecked_tls},
};
use crate::{core::Core, request::RequestInfo};

/// A name of the form `[scheme:]name[:port]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub scheme: &'a str,
    pub name: &'a str,
    pub port: &'a str,
}

impl<'a> Named<'a> {
    /// `resource` is what the error calls it.
    pub fn parse(text: &'a str, resource: &str) -> Result<Self, Status> {
        let parts: Vec<_> = text.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => ("", "", ""),
        };
        if name.is_empty() || !["", "http", "https"].contains(&scheme) {
            return Err(Status::bad_request(format!("invalid {resource} request {text:?}")));
        }
        Ok(Self { scheme, name, port })
    }
}

pub async fn pod(core: &Core, info: RequestInfo<'_>, id: &str) -> Result<Connection, Status> {
    let target = Named::parse(id, "pod")?;
    let pod = find(core, "pods", info.namespace, target.name).await?;
    let (address, port) = of_pod(&pod, target.port)?;
    connect(target.scheme, address, &port).await
}

/// The pod's address and port: that of the first container that names one, unless the request does.
fn of_pod<'a>(pod: &'a Value, port: &str) -> Result<(&'a str, String), Status> {
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    if !is_of_the_cluster(address) {
        return Err(Status::bad_request("address not allowed"));
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let first =
        || containers.flat_map(|c| c["ports"].as_array()).find_map(|ports| ports.first()?["containerPort"].as_u64());
    let port = match port {
        "" => first().map(|port| port.to_string()).unwrap_or_default(),
        given => given.to_owned(),
    };
    Ok((address, port))
}

/// No address of this machine itself, of its link, or of many.
fn is_of_the_cluster(address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_broadcast())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local())
        }
        Err(_) => false,
    }
}

/// To a ready endpoint of the Service, whichever.
pub async fn service(core: &Core, info: RequestInfo<'_>, id: &str) -> Result<Connection, Status> {
    let target = Named::parse(id, "service")?;
    let port = match target.port.parse::<u64>() {
        Ok(number) => named_port(&find(core, "services", info.namespace, target.name).await?, number)?,
        Err(_) => target.port.to_owned(),
    };
    let endpoints = find(core, "endpoints", info.namespace, target.name).await?;
    let mut choices = endpoints_of(&endpoints, &port);
    let chance = u32::from_le_bytes(core.random.bytes()) as usize;
    let most = choices.len().max(1);
    choices.rotate_left(chance % most);
    for choice in choices {
        let pod = find(core, "pods", choice.namespace, choice.pod).await;
        if pod.is_ok_and(|pod| has_address(&pod, choice.address)) {
            return connect(target.scheme, choice.address, &choice.port.to_string()).await;
        }
    }
    Err(Status::service_unavailable(format!("no endpoints available for service {id:?}")))
}

/// The name of the Service's port of that number.
fn named_port(service: &Value, number: u64) -> Result<String, Status> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let found = ports.into_iter().find(|port| port["port"].as_u64() == Some(number));
    let found = found.ok_or_else(|| {
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        Status::service_unavailable(format!("no service port {number} found for service {name:?}"))
    })?;
    Ok(found["name"].as_str().unwrap_or_default().to_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Choice<'a> {
    address: &'a str,
    port: u64,
    namespace: &'a str,
    pod: &'a str,
}

/// Ready addresses that are said to be pods', with the port of that name.
fn endpoints_of<'a>(endpoints: &'a Value, port: &str) -> Vec<Choice<'a>> {
    let mut choices = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let mut ports = subset["ports"].as_array().into_iter().flatten();
        let found = ports.find(|one| one["name"].as_str().unwrap_or_default() == port);
        let Some(port) = found.and_then(|one| one["port"].as_u64()) else { continue };
        for each in subset["addresses"].as_array().into_iter().flatten() {
            let target = &each["targetRef"];
            if let (Some(address), Some("Pod")) = (each["ip"].as_str(), target["kind"].as_str()) {
                let text = |member: &str| target[member].as_str().unwrap_or_default();
                choices.push(Choice { address, port, namespace: text("namespace"), pod: text("name") });
            }
        }
    }
    choices
}

fn has_address(pod: &Value, address: &str) -> bool {
    let mut all = pod["status"]["podIPs"].as_array().into_iter().flatten();
    is_of_the_cluster(address) && all.any(|ip| ip["ip"] == address)
}

/// Over TLS the target need not prove who it is: its name is not known.
pub async fn connect(scheme: &str, address: &str, port: &str) -> Result<Connection, Status> {
    let failed = |why: String| Status::service_unavailable(format!("error trying to reach service: {why}"));
    let mut authority = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let default = if scheme == "https" { "443" } else { "80" };
    let port = if port.is_empty() { default } else { port };
    if port.parse::<u16>().is_err() {
        return Err(failed(format!("dial tcp: lookup tcp/{port}: unknown port")));
    }
    let _ = write!(authority, ":{port}");
    if scheme == "https" {
        return connect_tls(&authority, address, unchecked_tls()).await.map_err(|why| failed(format!("{why:#}")));
    }
    let connecting = async {
        let tcp = TcpStream::connect(&authority).await.map_err(|why| dial_error(&authority, &why))?;
        tcp.set_nodelay(true).map_err(|why| why.to_string())?;
        Connection::start(tcp, authority.clone()).await.map_err(|why| format!("{why:#}"))
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(failed(format!("dial tcp {authority}: i/o timeout"))),
    }
}

/// In Go's words, which clients and tests know.
pub fn dial_error(authority: &str, why: &io::Error) -> String {
    let why = match why.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => why.to_string(),
    };
    format!("dial tcp {authority}: {why}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, wanted: Result<(&str, &str, &str), &str>| {
            let found = Named::parse(text, "pod");
            let found = found.as_ref().map(|n| (n.scheme, n.name, n.port)).map_err(|status| status.message.as_str());
            assert_eq!(found, wanted, "{text}");
        };
        check("web", Ok(("", "web", "")));
        check("web:80", Ok(("", "web", "80")));
        check("https:web:443", Ok(("https", "web", "443")));
        check("http:web:", Ok(("http", "web", "")));
        check("ftp:web:21", Err("invalid pod request \"ftp:web:21\""));
        check(":80", Err("invalid pod request \":80\""));
        check("a:b:c:d", Err("invalid pod request \"a:b:c:d\""));
    }

    #[test]
    fn pods() {
        let pod = |ip: &str| {
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]},
            "status": {"podIP": ip}})
        };
        let check = |ip: &str, port: &str, wanted: Result<&str, &str>| {
            let pod = pod(ip);
            let found = of_pod(&pod, port).map(|(_, port)| port).map_err(|status| status.message);
            assert_eq!(found.as_deref().map_err(String::as_str), wanted, "{ip} {port}");
        };
        check("10.1.2.3", "", Ok("8080"));
        check("10.1.2.3", "9000", Ok("9000"));
        check("fd00::1", "", Ok("8080"));
        for address in ["", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0"] {
            check(address, "", Err("address not allowed"));
        }
    }

    #[test]
    fn services() {
        let service =
            json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}, {"port": 90}]}});
        assert_eq!(named_port(&service, 80).unwrap(), "web");
        assert_eq!(named_port(&service, 90).unwrap(), "");
        assert_eq!(named_port(&service, 1).unwrap_err().message, "no service port 1 found for service \"s\"");
        let pod = json!({"kind": "Pod", "namespace": "n", "name": "p"});
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1", "targetRef": pod}, {"ip": "10.0.0.2"}], "ports": [{"name": "web", "port": 8080}]},
            {"addresses": [{"ip": "10.0.0.3", "targetRef": pod}], "ports": [{"port": 90}]},
        ]});
        let one = Choice { address: "10.0.0.1", port: 8080, namespace: "n", pod: "p" };
        assert_eq!(endpoints_of(&endpoints, "web"), [one]);
        assert_eq!(endpoints_of(&endpoints, "").len(), 1);
        assert!(endpoints_of(&endpoints, "other").is_empty());
        let pod = json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}});
        assert!(has_address(&pod, "10.0.0.1") && !has_address(&pod, "10.0.0.2"));
    }
}
