//! The security settings a container runs with: its own over the pod's.

use crate::{
    core::{Container, Pod, SELinuxOptions, SeccompProfile},
    names,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    pub privileged: bool,
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub run_as_non_root: bool,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub seccomp: Option<SeccompProfile>,
    pub selinux: Option<SELinuxOptions>,
    /// `Unmasked` shows all of /proc.
    pub unmasked_proc: bool,
    pub apparmor: Option<(String, Option<String>)>,
}

pub fn effective(pod: &Pod, container: &Container) -> Effective {
    let whole = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let own = container.security_context.as_ref();
    let capabilities = own.and_then(|o| o.capabilities.as_ref());
    let armor = own.and_then(|o| o.app_armor_profile.as_ref()).or(whole.and_then(|w| w.app_armor_profile.as_ref()));
    Effective {
        privileged: own.and_then(|o| o.privileged).unwrap_or(false),
        run_as_user: own.and_then(|o| o.run_as_user).or(whole.and_then(|w| w.run_as_user)),
        run_as_group: own.and_then(|o| o.run_as_group).or(whole.and_then(|w| w.run_as_group)),
        run_as_non_root: own.and_then(|o| o.run_as_non_root).or(whole.and_then(|w| w.run_as_non_root)).unwrap_or(false),
        read_only_root: own.and_then(|o| o.read_only_root_filesystem).unwrap_or(false),
        no_new_privileges: own.and_then(|o| o.allow_privilege_escalation) == Some(false),
        add_capabilities: capabilities.and_then(|c| c.add.clone()).unwrap_or_default(),
        drop_capabilities: capabilities.and_then(|c| c.drop.clone()).unwrap_or_default(),
        seccomp: own.and_then(|o| o.seccomp_profile.clone()).or(whole.and_then(|w| w.seccomp_profile.clone())),
        selinux: own.and_then(|o| o.se_linux_options.clone()).or(whole.and_then(|w| w.se_linux_options.clone())),
        unmasked_proc: own.and_then(|o| o.proc_mount.as_deref()) == Some("Unmasked"),
        apparmor: armor.map(|a| (a.type_.clone(), a.localhost_profile.clone())),
    }
}

/// Groups of every process of the pod besides the primary one.
pub fn supplemental_groups(pod: &Pod) -> Vec<i64> {
    let whole = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let mut groups = whole.and_then(|w| w.supplemental_groups.clone()).unwrap_or_default();
    groups.extend(whole.and_then(|w| w.fs_group));
    groups
}

/// What the image says about its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageUser {
    Id(i64),
    Name(String),
    Unset,
}

/// `runAsNonRoot` against the user that the container would get.
pub fn check_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), String> {
    let effective = effective(pod, container);
    if !effective.run_as_non_root {
        return Ok(());
    }
    let place = format!("(pod: \"{}\", container: {})", names::formatted(pod), container.name);
    match (effective.run_as_user, image) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        (Some(_), _) => Ok(()),
        (None, ImageUser::Name(name)) => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"
        )),
        (None, ImageUser::Id(0) | ImageUser::Unset) => {
            Err(format!("container has runAsNonRoot and image will run as root {place}"))
        }
        (None, ImageUser::Id(_)) => Ok(()),
    }
}

/// Paths of /proc and /sys hidden from an ordinary container.
pub const MASKED_PATHS: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

pub const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::json;

    #[test]
    fn the_containers_own_settings_win() {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().security_context =
            serde_json::from_value(json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3})).unwrap();
        let mut container = samples::container("a");
        container.security_context =
            serde_json::from_value(json!({"runAsUser": 9, "allowPrivilegeEscalation": false})).unwrap();
        let got = effective(&pod, &container);
        assert_eq!((got.run_as_user, got.run_as_group, got.no_new_privileges), (Some(9), Some(2), true));
        assert_eq!(supplemental_groups(&pod), [3]);
    }

    #[test]
    fn non_root_is_checked_against_the_image() {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().security_context = serde_json::from_value(json!({"runAsNonRoot": true})).unwrap();
        let container = samples::container("a");
        assert!(check_non_root(&pod, &container, &ImageUser::Id(5)).is_ok());
        let error = check_non_root(&pod, &container, &ImageUser::Unset).unwrap_err();
        assert_eq!(
            error,
            "container has runAsNonRoot and image will run as root (pod: \"web_default(u1)\", container: a)"
        );
        assert!(
            check_non_root(&pod, &container, &ImageUser::Name("app".into()))
                .unwrap_err()
                .contains("non-numeric user (app)")
        );
    }
}
