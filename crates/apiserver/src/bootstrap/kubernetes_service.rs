//! The Service `kubernetes` in `default`, through which pods reach the API: its first address, and the Endpoints and
//! EndpointSlice that lead to this server.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::Context;
use api_types::selector::FieldSelector;
use futures::future::select_all;
use serde_json::{Value, json};
use store::{EventType, Filter, Freshness, Step, WatchFrom};

use super::write;
use crate::{claims::Claimant, core::Core, service_alloc::ServiceAllocator};

const NAME: &str = "kubernetes";
/// Attempts before a conflict is an error.
const ATTEMPTS: usize = 8;

pub async fn reconcile(core: &Core, services: &ServiceAllocator) -> anyhow::Result<()> {
    let port = core.config.secure_port;
    service(core, services, port).await?;
    let address = core.config.advertise_address.unwrap_or_else(|| own_address(core.config.bind_address));
    let subsets = json!([{
        "addresses": [{"ip": address.to_string()}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }]);
    let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = object(labels, json!({"subsets": subsets}));
    write::ensure(core, "endpoints", "v1", endpoints.clone(), |old| Some(with(old, &endpoints, &["subsets"]))).await?;
    let slice = object(
        json!({"kubernetes.io/service-name": NAME}),
        json!({
            "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "protocol": "TCP", "port": port}],
        }),
    );
    let merge = |old: &Value| Some(with(old, &slice, &["endpoints", "ports"]));
    write::ensure(core, "endpointslices", "discovery.k8s.io/v1", slice.clone(), merge).await
}

/// Puts back what is deleted of them, until the storage fails; then whoever calls begins again.
pub async fn keep(core: &Core, services: &ServiceAllocator) -> anyhow::Result<()> {
    let mut watchers = Vec::new();
    for (group, resource) in [("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")] {
        let id = core.resource(group, resource).with_context(|| format!("{resource} is not stored"))?;
        let mut filter = Filter::namespace("default");
        filter.fields = FieldSelector::parse(&format!("metadata.name={NAME}"))?;
        watchers.push(core.store.watch(id, filter, WatchFrom::Now(Freshness::Any)).await?);
    }
    reconcile(core, services).await?;
    loop {
        let nexts = watchers.iter_mut().map(|watcher| Box::pin(watcher.next()));
        let (step, ..) = select_all(nexts).await;
        let Step::Events(events) = step? else { continue };
        if events.iter().any(|event| event.kind == EventType::Deleted) {
            reconcile(core, services).await?;
        }
    }
}

async fn service(core: &Core, services: &ServiceAllocator, port: u16) -> anyhow::Result<()> {
    let kind = write::kind_of("services", "v1")?;
    let address = services.first_address().to_string();
    let wanted = object(
        json!({"component": "apiserver", "provider": NAME}),
        json!({"spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        }}),
    );
    for _ in 0..ATTEMPTS {
        let (old, revision) = write::present(core, kind, &wanted).await?;
        let mut new = match &old {
            None => write::created(core, kind, wanted.clone()),
            Some(old) => {
                let mut new = old.clone();
                new["spec"]["ports"] = wanted["spec"]["ports"].clone();
                if api_rules::is_noop(old, &new) {
                    return Ok(());
                }
                new
            }
        };
        let claims = services.claim(&mut new, old.as_ref()).await?;
        if write::commit(core, kind, new, revision, claims).await? {
            return Ok(());
        }
    }
    anyhow::bail!("it changes all the time")
}

fn object(labels: Value, rest: Value) -> Value {
    let mut object = json!({"metadata": {"name": NAME, "namespace": "default", "labels": labels}});
    if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
        object.extend(rest);
    }
    object
}

fn with(old: &Value, wanted: &Value, fields: &[&str]) -> Value {
    let mut new = old.clone();
    for field in fields {
        new[*field] = wanted[*field].clone();
    }
    new
}

/// The address others most likely reach us at: the bound one, or that of the interface of the default route.
fn own_address(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    // Connecting a datagram socket sends nothing; it only asks the kernel for the route.
    let routed = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    routed().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
