//! `DeleteOptions`, from a body or from the URL.

use api_rules::{document, value};
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use serde_json::Value;

use super::Call;
use crate::negotiate::body_encoding;

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => Err(invalid(FieldError::not_supported(
                &Path::new("propagationPolicy"),
                other,
                &["Background", "Foreground", "Orphan"],
            ))),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub grace_seconds: Option<i64>,
    pub propagation: Option<Propagation>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    pub fn of(call: &Call<'_>) -> Result<Self, Status> {
        let query = &call.query;
        let mut options = Self { dry_run: query.dry_run()?, ..Self::default() };
        if !call.body.is_empty() {
            let parsed = document::parse(&call.body, body_encoding(call.headers)?);
            let body = parsed.map_err(|error| Status::bad_request(format!("error decoding DeleteOptions: {error}")))?;
            options.read(&body.value)?;
        }
        options.grace_seconds = options.grace_seconds.or(query.number("gracePeriodSeconds")?);
        if options.propagation.is_none() {
            options.propagation = match (query.get("propagationPolicy"), query.bool("orphanDependents")) {
                (Some(policy), _) => Some(Propagation::parse(policy)?),
                (None, orphan) => orphan.map(of_orphan),
            };
        }
        Ok(options)
    }

    /// Takes over what a `DeleteOptions` object says.
    pub fn read(&mut self, body: &Value) -> Result<(), Status> {
        if body.is_null() {
            return Ok(());
        }
        self.grace_seconds = body.get("gracePeriodSeconds").and_then(Value::as_i64);
        let policy = body.get("propagationPolicy").and_then(Value::as_str);
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        self.propagation = match (policy, orphan) {
            (Some(_), Some(_)) => {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                return Err(invalid(FieldError::invalid(&Path::new("propagationPolicy"), policy.unwrap_or(""), why)));
            }
            (Some(policy), None) => Some(Propagation::parse(policy)?),
            (None, orphan) => orphan.map(of_orphan),
        };
        let text = |name: &str| Some(value::text(body, &["preconditions", name]).to_owned()).filter(|t| !t.is_empty());
        self.uid = text("uid");
        self.resource_version = text("resourceVersion");
        match value::items(body, &["dryRun"]) {
            [] => {}
            [Value::String(all)] if all == "All" => self.dry_run = true,
            other => {
                return Err(Status::bad_request(format!("unsupported dryRun value: {}", Value::from(other.to_vec()))));
            }
        }
        Ok(())
    }
}

fn of_orphan(orphan: bool) -> Propagation {
    if orphan { Propagation::Orphan } else { Propagation::Background }
}

fn invalid(error: FieldError) -> Status {
    Status::invalid(&GroupKind::new("", "DeleteOptions"), "", vec![error])
}
