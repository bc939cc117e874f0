//! PriorityLevelConfiguration: how much of the server a level of priority gets, and what waits when it is used up.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::flowcontrol::v1::{
        self, LimitResponse, LimitedPriorityLevelConfiguration, PriorityLevelConfigurationSpec, QueuingConfiguration,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::flow_control;
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{Resource, status_of},
    value,
};

type Errors = Vec<FieldError>;

const EXEMPT: &str = "exempt";
const QUEUES_MAX: i32 = 10_000_000;
/// A hand of queues is dealt from this many bits of a flow's hash.
const HASH_BITS: f64 = 60.0;

pub struct PriorityLevelConfiguration;

impl Resource for PriorityLevelConfiguration {
    type Object = v1::PriorityLevelConfiguration;

    const NAMES: Names = Names {
        group: "flowcontrol.apiserver.k8s.io",
        version: "v1",
        kind: "PriorityLevelConfiguration",
        list_kind: "PriorityLevelConfigurationList",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "prioritylevelconfigurations", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(flow_control::NOT_APPLIED);

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        if spec["type"] == "Exempt" {
            let exempt = value::child(spec, EXEMPT);
            value::default(exempt, "nominalConcurrencyShares", 0);
            value::default(exempt, "lendablePercent", 0);
        }
        let Some(limited) = spec.get_mut("limited").filter(|l| l.is_object()) else { return };
        value::default(limited, "nominalConcurrencyShares", 30);
        value::default(limited, "lendablePercent", 0);
        if let Some(queuing) = limited.pointer_mut("/limitResponse/queuing").filter(|q| q.is_object()) {
            value::default(queuing, "queues", 64);
            value::default(queuing, "handSize", 8);
            value::default(queuing, "queueLengthLimit", 50);
        }
    }

    fn validate(object: &v1::PriorityLevelConfiguration, errors: &mut Errors) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let spec = object.spec.clone().unwrap_or_default();
        let path = Path::new("spec");
        validate_spec(name, &spec, &path, errors);
        // The shares of the exempt level are the administrator's to choose.
        let of_spec = |spec: &Value| {
            let mut spec = spec.clone();
            value::remove(&mut spec, &[EXEMPT]);
            spec
        };
        let fixed = flow_control::fixed_spec("prioritylevelconfigurations", name);
        if fixed.is_some_and(|fixed| of_spec(fixed) != of_spec(&json!(spec))) {
            errors.push(FieldError::invalid(
                &path,
                json!(spec),
                format!("spec of '{name}' must equal the fixed value"),
            ));
        }
    }

    fn validate_update(
        new: &v1::PriorityLevelConfiguration,
        _: &v1::PriorityLevelConfiguration,
        _: Option<&str>,
        errors: &mut Errors,
    ) {
        let conditions = new.status.iter().flat_map(|s| s.conditions.iter().flatten());
        flow_control::conditions(conditions.map(|c| c.type_.as_deref()), errors);
    }

    fn cells(object: &v1::PriorityLevelConfiguration, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let limited = spec.limited;
        let queuing = limited.as_ref().and_then(|l| l.limit_response.as_ref()).and_then(|r| r.queuing.clone());
        let number = |number: Option<i32>| number.map_or_else(|| Value::from(NONE), Value::from);
        vec![
            cells::name(&object.metadata),
            spec.type_.into(),
            number(limited.as_ref().and_then(|l| l.nominal_concurrency_shares)),
            number(queuing.as_ref().and_then(|q| q.queues)),
            number(queuing.as_ref().and_then(|q| q.hand_size)),
            number(queuing.as_ref().and_then(|q| q.queue_length_limit)),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_spec(name: &str, spec: &PriorityLevelConfigurationSpec, path: &Path, errors: &mut Errors) {
    if (name == EXEMPT) != (spec.type_ == "Exempt") {
        let why = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), spec.type_.as_str(), why));
    }
    let (limited, exempt) = (path.child("limited"), path.child(EXEMPT));
    match spec.type_.as_str() {
        "Exempt" => {
            if spec.limited.is_some() {
                errors.push(FieldError::forbidden(&limited, "must be nil if the type is not Limited"));
            }
            if let Some(given) = &spec.exempt {
                shares(given.nominal_concurrency_shares, given.lendable_percent, &exempt, errors);
            }
        }
        "Limited" => {
            if spec.exempt.is_some() {
                errors.push(FieldError::forbidden(&exempt, "must be nil if the type is Limited"));
            }
            match &spec.limited {
                Some(given) => validate_limited(given, &limited, errors),
                None => errors.push(FieldError::required(&limited, "must not be empty when type is Limited")),
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
}

fn shares(shares: Option<i32>, lendable: Option<i32>, path: &Path, errors: &mut Errors) {
    if let Some(shares) = shares.filter(|s| *s < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("nominalConcurrencyShares"), shares, why));
    }
    if let Some(percent) = lendable.filter(|p| !(0..=100).contains(p)) {
        let why = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path.child("lendablePercent"), percent, why));
    }
}

fn validate_limited(limited: &LimitedPriorityLevelConfiguration, path: &Path, errors: &mut Errors) {
    shares(limited.nominal_concurrency_shares, limited.lendable_percent, path, errors);
    if let Some(percent) = limited.borrowing_limit_percent.filter(|p| *p < 0) {
        let why = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), percent, why));
    }
    let at = path.child("limitResponse");
    let LimitResponse { type_, queuing } = limited.limit_response.clone().unwrap_or_default();
    let inner = at.child("queuing");
    match (type_.as_str(), queuing) {
        ("Reject", Some(_)) => {
            errors.push(FieldError::forbidden(&inner, "must be nil if limited.limitResponse.type is not Limited"));
        }
        ("Queue", None) => {
            errors.push(FieldError::required(&inner, "must not be empty if limited.limitResponse.type is Limited"));
        }
        ("Queue", Some(queuing)) => validate_queuing(&queuing, &inner, errors),
        ("Reject", None) => {}
        (other, _) => errors.push(FieldError::not_supported(&at.child("type"), other, &["Queue", "Reject"])),
    }
}

fn validate_queuing(queuing: &QueuingConfiguration, path: &Path, errors: &mut Errors) {
    let of = |number: Option<i32>| number.unwrap_or(0);
    let (queues, hand, length) = (of(queuing.queues), of(queuing.hand_size), of(queuing.queue_length_limit));
    let mut report = |member: &str, number: i32, why: String| {
        errors.push(FieldError::invalid(&path.child(member), number, why));
    };
    if length <= 0 {
        report("queueLengthLimit", length, "must be positive".to_owned());
    }
    match queues {
        ..=0 => report("queues", queues, "must be positive".to_owned()),
        1..=QUEUES_MAX => {}
        _ => report("queues", queues, format!("must not be greater than {QUEUES_MAX}")),
    }
    if hand <= 0 {
        report("handSize", hand, "must be positive".to_owned());
    } else if hand > queues {
        report("handSize", hand, format!("should not be greater than queues ({queues})"));
    } else if bits_to_deal(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        report("handSize", hand, why);
    }
}

/// The bits that choosing `hand` of `deck` queues in order takes, rounded up; counted no further than needed.
fn bits_to_deal(deck: i32, hand: i32) -> f64 {
    let mut bits = 0.0;
    for left in (deck - hand + 1..=deck).rev() {
        bits += f64::from(left).log2();
        if bits > HASH_BITS {
            break;
        }
    }
    bits.ceil()
}
