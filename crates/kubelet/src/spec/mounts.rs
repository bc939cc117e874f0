//! What is mounted into a container: its volumes, `/etc/hosts` and the file for its last words.

use crate::{
    context::Context,
    volumes::{Mounted, subpath},
};
use cri::v1;
use pod_lifecycle::{
    core::{Container, Pod, VolumeMount},
    env, hosts, names,
};
use std::{os::unix::fs::PermissionsExt, path::PathBuf};

pub const ETC_HOSTS: &str = "/etc/hosts";

/// Shown under `CreateContainerConfigError`.
pub fn mounts(
    context: &Context,
    pod: &Pod,
    container: &Container,
    volumes: &Mounted,
    env: &[(String, String)],
    ips: &[String],
    attempt: u32,
) -> anyhow::Result<Vec<v1::Mount>> {
    let mut mounts = vec![];
    for (index, wanted) in container.volume_mounts.iter().flatten().enumerate() {
        let volume =
            volumes.path(&wanted.name).ok_or_else(|| anyhow::anyhow!("volume {:?} is not mounted", wanted.name))?;
        let host_path = match sub_path(wanted, env)? {
            Some(sub) => subpath::prepare(context, names::uid(pod), volume, &sub, wanted, &container.name, index)?,
            None => volume.clone(),
        };
        mounts.push(v1::Mount {
            container_path: absolute(&wanted.mount_path),
            host_path: host_path.to_string_lossy().into_owned(),
            readonly: wanted.read_only.unwrap_or(false) || volumes.is_read_only(&wanted.name),
            propagation: match wanted.mount_propagation.as_deref() {
                Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer as i32,
                Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional as i32,
                _ => v1::MountPropagation::PropagationPrivate as i32,
            },
            ..Default::default()
        });
    }
    let own_hosts = mounts.iter().any(|m| m.container_path == ETC_HOSTS);
    if !own_hosts && (names::host_network(pod) || !ips.is_empty()) {
        mounts.push(file(&etc_hosts(context, pod, ips)?, ETC_HOSTS));
    }
    if let Some(path) = container.termination_message_path.as_deref().filter(|p| !p.is_empty()) {
        mounts.push(file(&last_words(context, pod, container, attempt)?, path));
    }
    Ok(mounts)
}

fn file(host: &std::path::Path, container: &str) -> v1::Mount {
    v1::Mount {
        container_path: container.to_owned(),
        host_path: host.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The part of the volume that is wanted, with the container's variables in it.
fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> anyhow::Result<Option<String>> {
    let path = match (&mount.sub_path, &mount.sub_path_expr) {
        (_, Some(expression)) if !expression.is_empty() => {
            let lookup = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
            let missing = std::cell::RefCell::new(None);
            let path = env::expand(expression, &|name| {
                let found = lookup(name);
                if found.is_none() {
                    missing.replace(Some(name.to_owned()));
                }
                found
            });
            if let Some(name) = missing.into_inner() {
                anyhow::bail!("missing value for {name:?}");
            }
            path
        }
        (Some(path), _) if !path.is_empty() => path.clone(),
        _ => return Ok(None),
    };
    if path.starts_with('/') {
        anyhow::bail!("error SubPath `{path}` must not be an absolute path");
    }
    if path.split('/').any(|part| part == "..") {
        anyhow::bail!("unable to provision SubPath `{path}`: must not contain '..'");
    }
    Ok(Some(path))
}

/// Written before every container start, since addresses may have changed with the sandbox.
fn etc_hosts(context: &Context, pod: &Pod, ips: &[String]) -> anyhow::Result<PathBuf> {
    let path = context.paths.etc_hosts(names::uid(pod));
    let hostname = hosts::hostname(pod, &context.config.file.cluster_domain)?;
    let node =
        if names::host_network(pod) { std::fs::read_to_string(ETC_HOSTS).unwrap_or_default() } else { String::new() };
    let wanted = hosts::file(pod, &hostname, ips, &node);
    // Rewriting in place keeps the file that running containers have mounted.
    if std::fs::read_to_string(&path).ok().as_deref() != Some(&wanted) {
        std::fs::write(&path, wanted)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(path)
}

/// A file for each start that any user of the container may write.
fn last_words(context: &Context, pod: &Pod, container: &Container, attempt: u32) -> anyhow::Result<PathBuf> {
    let directory = context.paths.container(names::uid(pod), &container.name);
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{attempt:08x}"));
    std::fs::write(&path, b"")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_are_checked() {
        let env = [
            ("A".to_owned(), "x/y".to_owned()),
            ("UP".to_owned(), "..".to_owned()),
            ("ABS".to_owned(), "/tmp".to_owned()),
        ];
        let get = |expression: &str| {
            let mount = VolumeMount { sub_path_expr: Some(expression.into()), ..VolumeMount::default() };
            sub_path(&mount, &env).map_err(|e| e.to_string())
        };
        assert_eq!(get("$(A)"), Ok(Some("x/y".into())));
        assert!(get("$(UP)").is_err_and(|e| e.contains("must not contain '..'")));
        assert!(get("$(ABS)").is_err_and(|e| e.contains("must not be an absolute path")));
        assert_eq!(get("$(NO)"), Err("missing value for \"NO\"".into()));
    }
}
