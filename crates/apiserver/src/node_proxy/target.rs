//! Whom `pods/proxy` and `services/proxy` lead to.

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
    pub fn parse(text: &'a str) -> Self {
        let parts: Vec<_> = text.split(':').collect();
        match parts.as_slice() {
            [name, port] => Self { scheme: "", name, port },
            [scheme, name, port] => Self { scheme, name, port },
            _ => Self { scheme: "", name: text, port: "" },
        }
    }
}

pub async fn pod(core: &Core, info: RequestInfo<'_>) -> Result<Connection, Status> {
    let target = Named::parse(info.name);
    let pod = find(core, "pods", info.namespace, target.name).await?;
    let address = pod["status"]["podIP"].as_str().filter(|ip| !ip.is_empty());
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    let port = match target.port {
        "" => pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|c| c["ports"][0]["containerPort"].as_u64()),
        given => given.parse().ok(),
    };
    connect(target.scheme, address, port.unwrap_or(default_port(target.scheme))).await
}

/// To a ready endpoint of the Service, whichever.
pub async fn service(core: &Core, info: RequestInfo<'_>) -> Result<Connection, Status> {
    let target = Named::parse(info.name);
    let service = find(core, "services", info.namespace, target.name).await?;
    let ports = || service["spec"]["ports"].as_array().into_iter().flatten();
    let wanted = |port: &&Value| match target.port {
        "" => true,
        given => port["name"] == given || port["port"].as_u64().is_some_and(|number| number.to_string() == given),
    };
    let name = target.name;
    let none = || Status::service_unavailable(format!("no endpoints available for service {name:?}"));
    let port = ports().find(wanted);
    let port = port.ok_or_else(|| {
        Status::service_unavailable(format!("no service port {:?} found for service {name:?}", target.port))
    })?;
    let endpoints = find(core, "endpoints", info.namespace, name).await.map_err(|_| none())?;
    let mut choices = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let found = subset["ports"].as_array().into_iter().flatten().find(|one| one["name"] == port["name"]);
        let Some(number) = found.and_then(|one| one["port"].as_u64()) else { continue };
        let addresses = subset["addresses"].as_array().into_iter().flatten();
        choices.extend(addresses.filter_map(|address| Some((address["ip"].as_str()?, number))));
    }
    if choices.is_empty() {
        return Err(none());
    }
    let chance = u32::from_le_bytes(core.random.bytes()) as usize;
    let (address, number) = choices[chance % choices.len()];
    connect(target.scheme, address, number).await
}

fn default_port(scheme: &str) -> u64 {
    if scheme == "https" { 443 } else { 80 }
}

async fn connect(scheme: &str, address: &str, port: u64) -> Result<Connection, Status> {
    let authority = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let failed = |why: String| Status::service_unavailable(format!("error trying to reach service: {why}"));
    if scheme == "https" {
        return connect_tls(&authority, address, unchecked_tls()).await.map_err(|why| failed(format!("{why:#}")));
    }
    let connecting = async {
        let tcp = TcpStream::connect(&authority).await.map_err(|why| format!("dial tcp {authority}: {why}"))?;
        tcp.set_nodelay(true).map_err(|why| why.to_string())?;
        Connection::start(tcp, authority.clone()).await.map_err(|why| format!("{why:#}"))
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(failed(format!("dial tcp {authority}: i/o timeout"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, scheme: &str, name: &str, port: &str| {
            assert_eq!(Named::parse(text), Named { scheme, name, port })
        };
        check("web", "", "web", "");
        check("web:80", "", "web", "80");
        check("https:web:443", "https", "web", "443");
        check("http:web:", "http", "web", "");
    }
}
