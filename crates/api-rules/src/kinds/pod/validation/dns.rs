//! How a pod resolves names: `dnsConfig` and `hostAliases`.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::PodSpec,
};
use serde_json::json;

use super::Errors;
use crate::names::{self, report};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

pub fn validate(spec: &PodSpec, path: &Path, errors: &mut Errors) {
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = path.child("hostAliases").index(i);
        report(names::ip(&alias.ip), &at.child("ip"), &alias.ip, errors);
        for (j, name) in alias.hostnames.iter().flatten().enumerate() {
            report(names::dns_subdomain(name), &at.child("hostnames").index(j), name, errors);
        }
    }
    let at = path.child("dnsConfig");
    let servers = spec.dns_config.as_ref().and_then(|c| c.nameservers.as_deref()).unwrap_or_default();
    if spec.dns_policy.as_deref() == Some("None") && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(match &spec.dns_config {
            None => FieldError::required(&at, "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(_) => FieldError::required(&at.child("nameservers"), why),
        });
    }
    let Some(config) = &spec.dns_config else { return };
    if servers.len() > MAX_NAMESERVERS {
        errors.push(FieldError::invalid(
            &at.child("nameservers"),
            json!(servers),
            format!("must not have more than {MAX_NAMESERVERS} nameservers"),
        ));
    }
    for (i, server) in servers.iter().enumerate() {
        report(names::ip(server), &at.child("nameservers").index(i), server, errors);
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > MAX_SEARCHES {
        errors.push(FieldError::invalid(
            &at.child("searches"),
            json!(searches),
            format!("must not have more than {MAX_SEARCHES} search paths"),
        ));
    }
    if searches.iter().map(String::len).sum::<usize>() + searches.len().saturating_sub(1) > MAX_SEARCH_CHARACTERS {
        errors.push(FieldError::invalid(
            &at.child("searches"),
            json!(searches),
            format!("must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"),
        ));
    }
    for (i, search) in searches.iter().enumerate() {
        let name = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            report(names::dns_subdomain(&name.replace('_', "-")), &at.child("searches").index(i), search, errors);
        }
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&at.child("options").index(i), "must not be empty"));
        }
    }
}
