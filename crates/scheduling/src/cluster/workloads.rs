//! The selectors of Services and controllers: whom a pod is spread among when neither it nor the configuration says.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api_types::selector::{Labels, Selector};

use super::Cluster;
use crate::{
    object,
    peers::{OwnerKind, Peers, selector},
};

type Name = Arc<str>;

#[derive(Debug, Default)]
pub(super) struct Workloads {
    services: HashMap<Name, BTreeMap<Name, BTreeMap<String, String>>>,
    controllers: HashMap<(OwnerKind, Name, Name), Selector>,
    generation: u64,
}

impl Cluster {
    /// Grows whenever the selector of a Service or a controller changes.
    pub fn workloads_generation(&self) -> u64 {
        self.workloads.generation
    }

    pub fn set_service(&mut self, service: &object::Service) {
        let (namespace, name) = (&*service.metadata.namespace, &*service.metadata.name);
        let known = self.workloads.services.get(namespace).and_then(|names| names.get(name));
        if known == Some(&service.spec.selector) || known.is_none() && service.spec.selector.is_empty() {
            return;
        }
        let names = self.workloads.services.entry(namespace.into()).or_default();
        names.insert(name.into(), service.spec.selector.clone());
        self.workloads.generation += 1;
    }

    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        let Some(names) = self.workloads.services.get_mut(namespace) else { return };
        self.workloads.generation += u64::from(names.remove(name).is_some());
        if names.is_empty() {
            self.workloads.services.remove(namespace);
        }
    }

    pub fn set_controller(&mut self, kind: OwnerKind, controller: &object::Controller) {
        let selector = match (&controller.spec.selector, kind) {
            (None, _) => Selector::nothing(),
            (Some(object::ControllerSelector::Labels(labels)), OwnerKind::ReplicationController) => {
                Selector::from_map(labels)
            }
            (Some(object::ControllerSelector::Selector(wire)), _) => selector(Some(wire), Vec::new()),
            (Some(object::ControllerSelector::Labels(_)), _) => Selector::nothing(),
        };
        let key = (kind, controller.metadata.namespace.as_ref().into(), controller.metadata.name.as_ref().into());
        if self.workloads.controllers.get(&key) != Some(&selector) {
            self.workloads.controllers.insert(key, selector);
            self.workloads.generation += 1;
        }
    }

    pub fn remove_controller(&mut self, kind: OwnerKind, namespace: &str, name: &str) {
        let gone = self.workloads.controllers.remove(&(kind, namespace.into(), name.into()));
        self.workloads.generation += u64::from(gone.is_some());
    }

    /// Everything that the pod's Services and its controller select by, together; nothing if that is no requirement.
    pub fn default_selector(&self, pod: &Peers) -> Option<Selector> {
        let mut labels: BTreeMap<&String, &String> = BTreeMap::new();
        for selector in self.workloads.services.get(&pod.namespace).into_iter().flat_map(BTreeMap::values) {
            let selects = |(key, value): (&String, &String)| Labels::get(&pod.labels, key) == Some(value);
            if !selector.is_empty() && selector.iter().all(selects) {
                labels.extend(selector);
            }
        }
        let mut requirements = Selector::from_map(labels).requirements().to_vec();
        if let Some((kind, name)) = &pod.owner {
            let key = (*kind, pod.namespace.clone(), name.clone());
            let own = self.workloads.controllers.get(&key).map(Selector::requirements);
            requirements.extend_from_slice(own.unwrap_or_default());
        }
        requirements.sort();
        requirements.dedup();
        (!requirements.is_empty()).then(|| Selector::new(requirements))
    }
}
