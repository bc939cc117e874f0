//! What pods and containers may ask of the kernel, as far as the API judges it.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, SeccompProfile, SecurityContext},
};

use super::{Errors, volumes::local_path};
use crate::names::one_of;

const MAX_ID: i64 = i32::MAX as i64;
const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";

pub fn pod(context: &PodSecurityContext, spec: &PodSpec, path: &Path, errors: &mut Errors) {
    id(context.run_as_user, &path.child("runAsUser"), errors);
    id(context.run_as_group, &path.child("runAsGroup"), errors);
    id(context.fs_group, &path.child("fsGroup"), errors);
    for (i, group) in context.supplemental_groups.iter().flatten().enumerate() {
        id(Some(*group), &path.child("supplementalGroups").index(i), errors);
    }
    if let Some(policy) = context.fs_group_change_policy.as_deref() {
        one_of(policy, &["Always", "OnRootMismatch"], &path.child("fsGroupChangePolicy"), errors);
    }
    if let Some(policy) = context.supplemental_groups_policy.as_deref() {
        one_of(policy, &["Merge", "Strict"], &path.child("supplementalGroupsPolicy"), errors);
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(profile, &path.child("seccompProfile"), errors);
    }
    let mut seen = BTreeSet::new();
    for (i, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let at = path.child("sysctls").index(i).child("name");
        if sysctl.name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(&sysctl.name) {
            errors.push(FieldError::invalid(
                &at,
                sysctl.name.as_str(),
                "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            ));
        } else if !seen.insert(sysctl.name.replace('/', ".")) {
            errors.push(FieldError::duplicate(&at, sysctl.name.as_str()));
        }
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        errors.push(FieldError::invalid(
            &path.child("shareProcessNamespace"),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        ));
    }
}

pub fn container(context: &SecurityContext, path: &Path, errors: &mut Errors) {
    id(context.run_as_user, &path.child("runAsUser"), errors);
    id(context.run_as_group, &path.child("runAsGroup"), errors);
    if let Some(mount) = context.proc_mount.as_deref() {
        one_of(mount, &["Default", "Unmasked"], &path.child("procMount"), errors);
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(profile, &path.child("seccompProfile"), errors);
    }
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            errors.push(FieldError::invalid(
                path,
                "",
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ));
        }
        let adds_admin = context.capabilities.iter().flat_map(|c| c.add.iter().flatten()).any(|c| c == "CAP_SYS_ADMIN");
        if adds_admin {
            errors.push(FieldError::invalid(
                path,
                "",
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
}

fn id(id: Option<i64>, path: &Path, errors: &mut Errors) {
    if let Some(id) = id.filter(|id| !(0..=MAX_ID).contains(id)) {
        errors.push(FieldError::invalid(path, id, ID_RANGE));
    }
}

fn seccomp(profile: &SeccompProfile, path: &Path, errors: &mut Errors) {
    let local = profile.localhost_profile.as_deref();
    let at = path.child("localhostProfile");
    match (profile.type_.as_str(), local) {
        ("Localhost", None | Some("")) => {
            errors.push(FieldError::required(&at, "must be set when seccomp type is Localhost"))
        }
        ("Localhost", Some(file)) => local_path(file, &at, errors),
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            errors.push(FieldError::invalid(&at, file, "can only be set when seccomp type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            errors.push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set"))
        }
        (other, _) => {
            errors.push(FieldError::not_supported(
                &path.child("type"),
                other,
                &["Localhost", "RuntimeDefault", "Unconfined"],
            ));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let segment = |s: &str| {
        edge(s.chars().next()) && edge(s.chars().last()) && s.chars().all(|c| edge(Some(c)) || c == '-' || c == '_')
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}
