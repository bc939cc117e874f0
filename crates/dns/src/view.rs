//! What the zone is answered from: the process's caches, found by the keys that questions have.

use std::net::IpAddr;
use std::sync::Arc;

use client::{Index, Informers, Store};

use crate::objects::{EndpointSlice, Namespace, Service};
use crate::zone::View;

/// Shared caches with their indexes.
#[derive(Clone)]
pub struct Caches {
    namespaces: Store<Namespace>,
    services: Store<Service>,
    services_by_address: Index<Service>,
    slices: Store<EndpointSlice>,
    slices_by_service: Index<EndpointSlice>,
    slices_by_address: Index<EndpointSlice>,
}

impl Caches {
    pub fn new(informers: &Informers) -> Self {
        let services = informers.store::<Service>();
        let slices = informers.store::<EndpointSlice>();
        Self {
            namespaces: informers.store(),
            services_by_address: services
                .index(|service| service.addresses().iter().map(ToString::to_string).collect()),
            services,
            slices_by_service: slices
                .index(|slice| slice.service().map(|name| key(&slice.metadata.namespace, name)).into_iter().collect()),
            slices_by_address: slices.index(|slice| {
                slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses().map(|one| one.to_string())).collect()
            }),
            slices,
        }
    }

    /// Until everything has been seen once, a name that is not known may exist all the same.
    pub fn is_synced(&self) -> bool {
        self.namespaces.has_synced() && self.services.has_synced() && self.slices.has_synced()
    }

    pub async fn synced(&self) {
        self.namespaces.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
    }
}

impl View for Caches {
    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get("", name).is_some()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(namespace, name)
    }

    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services_by_address.get(&address.to_string())
    }

    fn slices_of(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices_by_service.get(&key(namespace, service))
    }

    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices_by_address.get(&address.to_string())
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}
