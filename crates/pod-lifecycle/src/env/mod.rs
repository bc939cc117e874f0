//! The environment of a container: its own variables, those of ConfigMaps and Secrets, and those
//! that describe Services; with `$(VAR)` references resolved.

mod expand;
mod services;

use crate::{
    core::{ConfigMap, Container, EnvVarSource, Pod, Secret},
    downward, names,
};
use std::collections::BTreeMap;

pub use expand::{expand, expand_all};
pub use services::{PortSeen, ServiceSeen, variables as service_variables};

/// The objects a container refers to; `None` when there is no such object.
pub trait Sources {
    fn config_map(&self, name: &str) -> Option<std::sync::Arc<ConfigMap>>;
    fn secret(&self, name: &str) -> Option<std::sync::Arc<Secret>>;
}

/// Shown under the reason `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("configmap {0:?} not found")]
    NoConfigMap(String),
    #[error("secret {0:?} not found")]
    NoSecret(String),
    #[error("couldn't find key {key} in ConfigMap {object}")]
    NoConfigMapKey { key: String, object: String },
    #[error("couldn't find key {key} in Secret {object}")]
    NoSecretKey { key: String, object: String },
    #[error("environment variable {0}: this source is not supported on this node")]
    Unsupported(String),
    #[error(transparent)]
    Downward(#[from] downward::Error),
}

/// Variables in the order in which the container gets them.
pub fn environment(
    pod: &Pod,
    container: &Container,
    sources: &dyn Sources,
    services: &BTreeMap<String, String>,
    node: &downward::Node,
) -> Result<Vec<(String, String)>, Error> {
    let mut env = Ordered::default();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match sources.config_map(&reference.name) {
                Some(map) => map.data.iter().flatten().for_each(|(k, v)| env.set(&format!("{prefix}{k}"), v.clone())),
                None if reference.optional == Some(true) => {}
                None => return Err(Error::NoConfigMap(reference.name.clone())),
            }
        } else if let Some(reference) = &from.secret_ref {
            match sources.secret(&reference.name) {
                Some(secret) => {
                    secret.data.iter().flatten().for_each(|(k, v)| env.set(&format!("{prefix}{k}"), text(&v.0)))
                }
                None if reference.optional == Some(true) => {}
                None => return Err(Error::NoSecret(reference.name.clone())),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                expand(value, &|name| env.get(name).or_else(|| services.get(name).cloned()))
            }
            (_, Some(source)) => match from_source(pod, container, source, &variable.name, sources, node)? {
                Some(value) => value,
                None => continue,
            },
            _ => String::new(),
        };
        env.set(&variable.name, value);
    }
    for (name, value) in services {
        if env.get(name).is_none() {
            env.set(name, value.clone());
        }
    }
    Ok(env.list)
}

/// `None`: the source is optional and absent.
fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    variable: &str,
    sources: &dyn Sources,
    node: &downward::Node,
) -> Result<Option<String>, Error> {
    let object = |name: &str| format!("{}/{name}", names::namespace(pod));
    if let Some(field) = &source.field_ref {
        return Ok(Some(downward::field(pod, &field.field_path, node)?));
    }
    if let Some(resource) = &source.resource_field_ref {
        return Ok(Some(downward::resource(pod, Some(container), resource, node)?));
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        return match sources.config_map(&reference.name) {
            None if optional => Ok(None),
            None => Err(Error::NoConfigMap(reference.name.clone())),
            Some(map) => match map.data.as_ref().and_then(|d| d.get(&reference.key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(Error::NoConfigMapKey { key: reference.key.clone(), object: object(&reference.name) }),
            },
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        return match sources.secret(&reference.name) {
            None if optional => Ok(None),
            None => Err(Error::NoSecret(reference.name.clone())),
            Some(secret) => match secret.data.as_ref().and_then(|d| d.get(&reference.key)) {
                Some(value) => Ok(Some(text(&value.0))),
                None if optional => Ok(None),
                None => Err(Error::NoSecretKey { key: reference.key.clone(), object: object(&reference.name) }),
            },
        };
    }
    Err(Error::Unsupported(variable.to_owned()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Insertion order, later values in the earlier place.
#[derive(Default)]
struct Ordered {
    list: Vec<(String, String)>,
    at: BTreeMap<String, usize>,
}

impl Ordered {
    fn set(&mut self, name: &str, value: String) {
        match self.at.get(name) {
            Some(index) => self.list[*index].1 = value,
            None => {
                self.at.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.at.get(name).map(|index| self.list[*index].1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::json;
    use std::sync::Arc;

    struct One;

    impl Sources for One {
        fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
            let map = json!({"data": {"k": "v", "path": "/x"}});
            (name == "cm").then(|| Arc::new(serde_json::from_value(map).unwrap()))
        }
        fn secret(&self, name: &str) -> Option<Arc<Secret>> {
            (name == "s").then(|| Arc::new(serde_json::from_value(json!({"data": {"p": "cHc="}})).unwrap()))
        }
    }

    fn check(container: serde_json::Value, want: Result<&str, &str>) {
        let pod = samples::pod("Always", &[], &["a"]);
        let mut base = json!({"name": "a"});
        base.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let container: Container = serde_json::from_value(base).unwrap();
        let services = [("SVC_PORT".to_owned(), "1".to_owned())].into();
        let none = Default::default();
        let node = downward::Node { host_ips: &[], pod_ips: &[], allocatable: &none };
        let got = environment(&pod, &container, &One, &services, &node);
        let got = got.map(|env| env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
        assert_eq!(got.map_err(|e| e.to_string()), want.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn sources_and_references() {
        check(
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(SVC_PORT)$(NO)$$(A)"}]}),
            Ok("A=1 B=11$(NO)$(A) SVC_PORT=1"),
        );
        check(json!({"envFrom": [{"prefix": "x-", "configMapRef": {"name": "cm"}}]}), Ok("x-k=v x-path=/x SVC_PORT=1"));
        check(json!({"envFrom": [{"configMapRef": {"name": "no"}}]}), Err("configmap \"no\" not found"));
        check(json!({"envFrom": [{"secretRef": {"name": "no", "optional": true}}]}), Ok("SVC_PORT=1"));
        check(
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}}]}),
            Ok("A=pw SVC_PORT=1"),
        );
        check(
            json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no"}}}]}),
            Err("couldn't find key no in ConfigMap default/cm"),
        );
        check(
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            Ok("A=web SVC_PORT=1"),
        );
    }
}
