//! What may change in a Job that exists. While it is suspended, where its pods may go and what they ask for can change.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Affinity, Container, PodSpec, PodTemplateSpec},
    },
};
use serde::Serialize;
use serde_json::json;

use super::{has, is_indexed, selector};

type Errors = Vec<FieldError>;

pub fn validate(new: &Job, old: &Job, errors: &mut Errors) {
    let (Some(spec), Some(old_spec)) = (&new.spec, &old.spec) else { return };
    let path = Path::new("spec");
    let labels = old_spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
    let prefixed = [selector::JOB_NAME, selector::CONTROLLER_UID];
    let had = prefixed.iter().all(|label| labels.is_some_and(|l| l.contains_key(*label)));
    selector::validate_generated(new, had, errors);
    completions(spec, old_spec, &path, errors);
    kept(&spec.selector, &old_spec.selector, &path.child("selector"), errors);
    let allowed = with_changeable(&spec.template, &old_spec.template, Changes::of(old, old_spec));
    if spec.template != allowed {
        errors.push(FieldError::invalid(&path.child("template"), json!(spec.template), "field is immutable"));
    }
    kept(&spec.completion_mode, &old_spec.completion_mode, &path.child("completionMode"), errors);
    kept(&spec.pod_failure_policy, &old_spec.pod_failure_policy, &path.child("podFailurePolicy"), errors);
    kept(&spec.backoff_limit_per_index, &old_spec.backoff_limit_per_index, &path.child("backoffLimitPerIndex"), errors);
    kept(&spec.managed_by, &old_spec.managed_by, &path.child("managedBy"), errors);
    kept(&spec.success_policy, &old_spec.success_policy, &path.child("successPolicy"), errors);
}

fn kept<T: PartialEq + Serialize>(new: &T, old: &T, path: &Path, errors: &mut Errors) {
    if new != old {
        errors.push(FieldError::invalid(path, json!(new), "field is immutable"));
    }
}

/// An indexed Job may grow and shrink, if it runs all of its indexes at once.
fn completions(new: &JobSpec, old: &JobSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("completions");
    if !is_indexed(new) {
        kept(&new.completions, &old.completions, &at, errors);
    } else if new.completions != old.completions && new.completions.is_some() && new.completions != new.parallelism {
        errors.push(FieldError::invalid(
            &at,
            json!(new.completions),
            "can only be modified in tandem with spec.parallelism",
        ));
    }
}

/// What of the template may change.
#[derive(Clone, Copy)]
struct Changes {
    placement: bool,
    resources: bool,
}

impl Changes {
    fn of(job: &Job, spec: &JobSpec) -> Self {
        let suspended = spec.suspend == Some(true);
        let status = job.status.clone().unwrap_or_default();
        let halted = suspended && has(&status, "Suspended") && status.active.unwrap_or(0) == 0;
        let fresh = suspended && status.start_time.is_none();
        Self { placement: halted || fresh, resources: halted || fresh }
    }
}

/// The old template with all that may change taken from the new one.
fn with_changeable(new: &PodTemplateSpec, old: &PodTemplateSpec, changes: Changes) -> PodTemplateSpec {
    let mut allowed = old.clone();
    let (Some(new_spec), Some(spec)) = (&new.spec, &mut allowed.spec) else { return allowed };
    if changes.placement {
        spec.affinity = affinity(new_spec.affinity.as_ref(), spec.affinity.take());
        spec.node_selector.clone_from(&new_spec.node_selector);
        spec.tolerations.clone_from(&new_spec.tolerations);
        spec.scheduling_gates.clone_from(&new_spec.scheduling_gates);
        let new_meta = new.metadata.clone().unwrap_or_default();
        let meta = allowed.metadata.get_or_insert_default();
        meta.annotations = new_meta.annotations;
        meta.labels = new_meta.labels;
    }
    if let (true, Some(spec)) = (changes.resources, &mut allowed.spec) {
        take_resources(spec, new_spec);
    }
    allowed
}

/// Only the affinity to nodes may change.
fn affinity(new: Option<&Affinity>, old: Option<Affinity>) -> Option<Affinity> {
    let nodes = new.and_then(|a| a.node_affinity.clone());
    match (new, old) {
        (None, Some(old)) => {
            let rest = Affinity { node_affinity: None, ..old };
            (rest != Affinity::default()).then_some(rest)
        }
        (Some(_), old) => Some(Affinity { node_affinity: nodes, ..old.unwrap_or_default() }),
        (None, None) => None,
    }
}

fn take_resources(spec: &mut PodSpec, new: &PodSpec) {
    let copy = |containers: &mut [Container], new: &[Container]| {
        for (container, new) in containers.iter_mut().zip(new) {
            if container.name == new.name {
                container.resources.clone_from(&new.resources);
            }
        }
    };
    copy(&mut spec.containers, &new.containers);
    copy(spec.init_containers.as_deref_mut().unwrap_or_default(), new.init_containers.as_deref().unwrap_or_default());
}
