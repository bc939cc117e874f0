//! Wanted files, from a volume's spec and the objects it names. Errors are in upstream's words.

use super::{File, Files};
use crate::{
    core::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection},
    downward,
    env::Sources,
    names,
};
use std::collections::BTreeMap;

const DEFAULT_MODE: i32 = 0o644;
/// Seconds a token lives when its projection does not say.
const TOKEN_SECONDS: i64 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("configmap {0:?} not found")]
    NoConfigMap(String),
    #[error("secret {0:?} not found")]
    NoSecret(String),
    #[error("references non-existent config key: {0}")]
    NoConfigKey(String),
    #[error("references non-existent secret key: {0}")]
    NoSecretKey(String),
    #[error("this projection is not supported by this node")]
    Unsupported,
    #[error(transparent)]
    Downward(#[from] downward::Error),
}

/// A token that a projected volume needs; its file is made by the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWanted {
    pub audience: String,
    pub seconds: i64,
    pub path: String,
}

/// The service account tokens a volume needs before its files can be computed.
pub fn tokens(volume: &Volume) -> Vec<TokenWanted> {
    let sources = volume.projected.as_ref().and_then(|p| p.sources.as_deref()).unwrap_or_default();
    let tokens = sources.iter().filter_map(|s| s.service_account_token.as_ref());
    tokens
        .map(|t| TokenWanted {
            audience: t.audience.clone().unwrap_or_default(),
            seconds: t.expiration_seconds.unwrap_or(TOKEN_SECONDS),
            path: t.path.clone(),
        })
        .collect()
}

/// Names of the ConfigMaps and Secrets that a pod refers to anywhere, pull secrets included.
pub fn references(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (vec![], vec![]);
    let spec = pod.spec.as_ref();
    for volume in spec.and_then(|s| s.volumes.as_deref()).unwrap_or_default() {
        maps.extend(volume.config_map.as_ref().map(|m| m.name.clone()));
        secrets.extend(volume.secret.as_ref().and_then(|s| s.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            maps.extend(source.config_map.as_ref().map(|m| m.name.clone()));
            secrets.extend(source.secret.as_ref().map(|s| s.name.clone()));
        }
    }
    for container in names::all_containers(pod) {
        for from in container.env_from.iter().flatten() {
            maps.extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
            secrets.extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            maps.extend(source.config_map_key_ref.as_ref().map(|r| r.name.clone()));
            secrets.extend(source.secret_key_ref.as_ref().map(|r| r.name.clone()));
        }
    }
    secrets
        .extend(spec.and_then(|s| s.image_pull_secrets.as_deref()).unwrap_or_default().iter().map(|r| r.name.clone()));
    for list in [&mut maps, &mut secrets] {
        list.retain(|n| !n.is_empty());
        list.sort();
        list.dedup();
    }
    (maps, secrets)
}

/// The files of a volume whose content comes from the API; `None` for every other kind of volume.
pub fn files(
    pod: &Pod,
    volume: &Volume,
    sources: &dyn Sources,
    node: &downward::Node,
    tokens: &BTreeMap<TokenWanted, String>,
) -> Result<Option<Files>, Error> {
    let mut files = Files::new();
    if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        config_map(&mut files, sources, &map.name, map.items.as_deref(), map.optional, mode)?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(&mut files, sources, name, source.items.as_deref(), source.optional, mode)?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        downward_api(&mut files, pod, source.items.as_deref(), node, mode)?;
    } else if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            projected(&mut files, pod, projection, sources, node, tokens, mode)?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

fn projected(
    files: &mut Files,
    pod: &Pod,
    projection: &VolumeProjection,
    sources: &dyn Sources,
    node: &downward::Node,
    tokens: &BTreeMap<TokenWanted, String>,
    mode: i32,
) -> Result<(), Error> {
    if let Some(map) = &projection.config_map {
        config_map(files, sources, &map.name, map.items.as_deref(), map.optional, mode)
    } else if let Some(source) = &projection.secret {
        secret(files, sources, &source.name, source.items.as_deref(), source.optional, mode)
    } else if let Some(source) = &projection.downward_api {
        downward_api(files, pod, source.items.as_deref(), node, mode)
    } else if let Some(source) = &projection.service_account_token {
        let found = tokens.iter().find(|(wanted, _)| wanted.path == source.path);
        if let Some((_, token)) = found {
            let security = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
            let fs_group = security.and_then(|s| s.fs_group).is_some();
            let owner = single_user(pod);
            // Readable by the one user the pod runs as, else by all of them.
            let mode = match (fs_group, owner) {
                (true, _) => 0o600,
                (false, Some(_)) => 0o600,
                (false, None) => bits(mode),
            };
            let owner = if fs_group { None } else { owner };
            files.insert(source.path.clone(), File { content: token.clone().into_bytes(), mode, owner });
        }
        Ok(())
    } else {
        Err(Error::Unsupported)
    }
}

/// The user all containers run as, when it is one and the same.
fn single_user(pod: &Pod) -> Option<i64> {
    let users: Vec<_> =
        names::all_containers(pod).iter().map(|c| crate::security::effective(pod, c).run_as_user).collect();
    let first = users.first().copied().flatten()?;
    users.iter().all(|u| *u == Some(first)).then_some(first)
}

fn config_map(
    files: &mut Files,
    sources: &dyn Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
) -> Result<(), Error> {
    let optional = optional == Some(true);
    let empty = ConfigMap::default();
    let found = sources.config_map(name);
    let map = match &found {
        Some(map) => map,
        None if optional => &empty,
        None => return Err(Error::NoConfigMap(name.to_owned())),
    };
    let mut content: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    content.extend(map.data.iter().flatten().map(|(k, v)| (k.as_str(), v.clone().into_bytes())));
    content.extend(map.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.clone())));
    pick(files, &content, items, optional, mode).map_err(Error::NoConfigKey)
}

fn secret(
    files: &mut Files,
    sources: &dyn Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
) -> Result<(), Error> {
    let optional = optional == Some(true);
    let empty = Secret::default();
    let found = sources.secret(name);
    let secret = match &found {
        Some(secret) => secret,
        None if optional => &empty,
        None => return Err(Error::NoSecret(name.to_owned())),
    };
    let content = secret.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.clone())).collect();
    pick(files, &content, items, optional, mode).map_err(Error::NoSecretKey)
}

/// All keys, or the named ones at their paths. The error is a key that is not there.
fn pick(
    files: &mut Files,
    content: &BTreeMap<&str, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: i32,
) -> Result<(), String> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        for (key, value) in content {
            files.insert((*key).to_owned(), File { content: value.clone(), mode: bits(mode), owner: None });
        }
        return Ok(());
    };
    for item in items {
        match content.get(item.key.as_str()) {
            Some(value) => {
                let file = File { content: value.clone(), mode: bits(item.mode.unwrap_or(mode)), owner: None };
                files.insert(item.path.clone(), file);
            }
            None if optional => {}
            None => return Err(item.key.clone()),
        }
    }
    Ok(())
}

fn downward_api(
    files: &mut Files,
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    node: &downward::Node,
    mode: i32,
) -> Result<(), Error> {
    for item in items.unwrap_or_default() {
        let value = if let Some(field) = &item.field_ref {
            downward::field(pod, &field.field_path, node)?
        } else if let Some(resource) = &item.resource_field_ref {
            downward::resource(pod, None, resource, node)?
        } else {
            continue;
        };
        files.insert(
            item.path.clone(),
            File { content: value.into_bytes(), mode: bits(item.mode.unwrap_or(mode)), owner: None },
        );
    }
    Ok(())
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0o644) & 0o7777
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::{Value, json};
    use std::sync::Arc;

    struct Objects;

    impl Sources for Objects {
        fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
            (name == "cm").then(|| {
                Arc::new(
                    serde_json::from_value(json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Aw=="}})).unwrap(),
                )
            })
        }
        fn secret(&self, name: &str) -> Option<Arc<Secret>> {
            (name == "s").then(|| Arc::new(serde_json::from_value(json!({"data": {"p": "cHc="}})).unwrap()))
        }
    }

    /// `path=content:mode …`, or the error.
    fn check(volume: Value, want: &str) {
        let mut base = json!({"name": "v"});
        base.as_object_mut().unwrap().extend(volume.as_object().unwrap().clone());
        let volume: Volume = serde_json::from_value(base).unwrap();
        let pod = samples::pod("Always", &[], &["a"]);
        let none = Default::default();
        let node = downward::Node { host_ips: &[], pod_ips: &[], allocatable: &none };
        let tokens = tokens(&volume).into_iter().map(|t| (t, "tok".to_owned())).collect();
        let got = match files(&pod, &volume, &Objects, &node, &tokens) {
            Ok(Some(files)) => files
                .iter()
                .map(|(path, f)| format!("{path}={}:{:o}", String::from_utf8_lossy(&f.content).escape_debug(), f.mode))
                .collect::<Vec<_>>()
                .join(" "),
            Ok(None) => "none".into(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn every_kind() {
        check(json!({"configMap": {"name": "cm"}}), "a=1:644 b=2:644 c=\\u{3}:644");
        check(
            json!({"configMap": {"name": "cm", "defaultMode": 256, "items": [{"key": "a", "path": "x/y", "mode": 384}]}}),
            "x/y=1:600",
        );
        check(json!({"configMap": {"name": "no"}}), "configmap \"no\" not found");
        check(json!({"configMap": {"name": "no", "optional": true}}), "");
        check(
            json!({"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
            "references non-existent config key: z",
        );
        check(json!({"secret": {"secretName": "s"}}), "p=pw:644");
        check(
            json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
            "n=web:644",
        );
        check(json!({"emptyDir": {}}), "none");
        let projected = json!({"projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca"}]}}]}});
        check(projected, "ca=1:644 token=tok:644");
    }

    #[test]
    fn references_are_found_everywhere() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"imagePullSecrets": [{"name": "pull"}], "volumes": [
            {"name": "v", "projected": {"sources": [{"configMap": {"name": "root"}}]}}],
            "containers": [{"name": "a", "envFrom": [{"secretRef": {"name": "e"}}], "env": [
                {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]}]}}))
        .unwrap();
        assert_eq!(references(&pod), (vec!["cm".into(), "root".into()], vec!["e".into(), "pull".into()]));
    }
}
