//! The Service `kubernetes` in `default`, through which pods reach the API: its first address, and the Endpoints and
//! EndpointSlice that lead to every server that lives.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::{Context, ensure};
use api_types::selector::FieldSelector;
use futures::future::select_all;
use serde_json::{Value, json};
use store::{EventType, Filter, Freshness, Step, WatchFrom};
use tokio::time::MissedTickBehavior;

use super::{
    living::{Living, RENEWAL},
    write,
};
use crate::{claims::Claimant, config::Config, core::Core, service_alloc::ServiceAllocator};

const NAME: &str = "kubernetes";
/// Attempts before a conflict is an error.
const ATTEMPTS: usize = 8;

/// The Service, and the way to all servers that live. With none in sight it is left as it is.
pub async fn reconcile(core: &Core, services: &ServiceAllocator, living: &Living<'_>) -> anyhow::Result<()> {
    service(core, services, core.config.secure_port).await?;
    lead_to(core, &living.addresses().await?).await
}

async fn lead_to(core: &Core, addresses: &[IpAddr]) -> anyhow::Result<()> {
    let port = core.config.secure_port;
    ensure!(!addresses.is_empty(), "no API server address is known: the endpoints stay as they are");
    let subsets = json!([{
        "addresses": addresses.iter().map(|address| json!({"ip": address.to_string()})).collect::<Vec<_>>(),
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }]);
    let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = object(labels, json!({"subsets": subsets}));
    write::ensure(core, "endpoints", "v1", endpoints.clone(), |old| Some(with(old, &endpoints, &["subsets"]))).await?;
    let endpoint = |address: &IpAddr| json!({"addresses": [address.to_string()], "conditions": {"ready": true}});
    let slice = object(
        json!({"kubernetes.io/service-name": NAME}),
        json!({
            "addressType": if addresses[0].is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": [{"name": "https", "protocol": "TCP", "port": port}],
        }),
    );
    let merge = |old: &Value| Some(with(old, &slice, &["endpoints", "ports"]));
    write::ensure(core, "endpointslices", "discovery.k8s.io/v1", slice.clone(), merge).await
}

/// Renews the sign of life, follows the others', and puts back what is deleted, until the storage fails; then whoever
/// calls begins again.
pub async fn keep(core: &Core, services: &ServiceAllocator, living: &Living<'_>) -> anyhow::Result<()> {
    let mut watchers = Vec::new();
    for (group, resource) in [("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")] {
        let id = core.resource(group, resource).with_context(|| format!("{resource} is not stored"))?;
        let mut filter = Filter::namespace("default");
        filter.fields = FieldSelector::parse(&format!("metadata.name={NAME}"))?;
        watchers.push(core.store.watch(&id, filter, WatchFrom::Now(Freshness::Any)).await?);
    }
    let mut renewal = tokio::time::interval(RENEWAL);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let nexts = watchers.iter_mut().map(|watcher| Box::pin(watcher.next()));
        tokio::select! {
            _ = renewal.tick() => living.announce().await?,
            (step, ..) = select_all(nexts) => {
                let Step::Events(events) = step? else { continue };
                if !events.iter().any(|event| event.kind == EventType::Deleted) {
                    continue;
                }
            }
        }
        reconcile(core, services, living).await?;
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
        if write::commit(core, kind, old.as_ref(), new, revision, claims).await? {
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

/// The address others reach us at: the configured one, else most likely the bound one or that of the interface of the
/// default route.
pub fn own_address(config: &Config) -> IpAddr {
    let bound = config.advertise_address.unwrap_or(config.bind_address);
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
