//! Security settings in CRI's terms.

use crate::context::Context;
use cri::v1;
use pod_lifecycle::{
    core::{Container, Pod, SELinuxOptions, SeccompProfile},
    names, security as rules,
};

/// `target` is the container whose processes an ephemeral container may see.
pub fn namespaces(pod: &Pod, target: Option<&str>) -> v1::NamespaceOption {
    let spec = pod.spec.as_ref();
    let node = |wanted: Option<bool>| if wanted == Some(true) { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod } as i32;
    let pid = match (spec.and_then(|s| s.host_pid), spec.and_then(|s| s.share_process_namespace), target) {
        (Some(true), _, _) => v1::NamespaceMode::Node,
        (_, _, Some(_)) => v1::NamespaceMode::Target,
        (_, Some(true), None) => v1::NamespaceMode::Pod,
        _ => v1::NamespaceMode::Container,
    };
    v1::NamespaceOption {
        network: node(Some(names::host_network(pod))),
        pid: pid as i32,
        ipc: node(spec.and_then(|s| s.host_ipc)),
        target_id: target.unwrap_or_default().to_owned(),
        userns_options: None,
    }
}

pub fn selinux(options: &SELinuxOptions) -> v1::SeLinuxOption {
    v1::SeLinuxOption {
        user: options.user.clone().unwrap_or_default(),
        role: options.role.clone().unwrap_or_default(),
        r#type: options.type_.clone().unwrap_or_default(),
        level: options.level.clone().unwrap_or_default(),
    }
}

pub fn runtime_default() -> v1::SecurityProfile {
    profile(v1::security_profile::ProfileType::RuntimeDefault, String::new())
}

fn profile(kind: v1::security_profile::ProfileType, localhost_ref: String) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref }
}

fn seccomp(context: &Context, wanted: Option<&SeccompProfile>) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    match wanted.map(|w| w.type_.as_str()) {
        Some("RuntimeDefault") => runtime_default(),
        Some("Localhost") => {
            let name = wanted.and_then(|w| w.localhost_profile.clone()).unwrap_or_default();
            profile(ProfileType::Localhost, context.paths.seccomp().join(name).to_string_lossy().into_owned())
        }
        None if context.config.file.seccomp_default => runtime_default(),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

pub fn container(
    context: &Context,
    pod: &Pod,
    container: &Container,
    target: Option<&str>,
) -> v1::LinuxContainerSecurityContext {
    use v1::security_profile::ProfileType;
    let wanted = rules::effective(pod, container);
    let armor = wanted.apparmor.as_ref().map(|(kind, name)| match kind.as_str() {
        "Localhost" => profile(ProfileType::Localhost, name.clone().unwrap_or_default()),
        "Unconfined" => profile(ProfileType::Unconfined, String::new()),
        _ => runtime_default(),
    });
    let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let shown = wanted.privileged || wanted.unmasked_proc;
    v1::LinuxContainerSecurityContext {
        capabilities: Some(v1::Capability {
            add_capabilities: wanted.add_capabilities,
            drop_capabilities: wanted.drop_capabilities,
            add_ambient_capabilities: vec![],
        }),
        privileged: wanted.privileged,
        namespace_options: Some(namespaces(pod, target)),
        selinux_options: wanted.selinux.as_ref().map(selinux),
        run_as_user: wanted.run_as_user.map(|value| v1::Int64Value { value }),
        run_as_group: wanted.run_as_group.map(|value| v1::Int64Value { value }),
        readonly_rootfs: wanted.read_only_root,
        supplemental_groups: rules::supplemental_groups(pod),
        no_new_privs: wanted.no_new_privileges,
        masked_paths: if shown { vec![] } else { strings(&rules::MASKED_PATHS) },
        readonly_paths: if shown { vec![] } else { strings(&rules::READ_ONLY_PATHS) },
        seccomp: Some(if wanted.privileged {
            profile(ProfileType::Unconfined, String::new())
        } else {
            seccomp(context, wanted.seccomp.as_ref())
        }),
        apparmor: armor,
        ..Default::default()
    }
}
