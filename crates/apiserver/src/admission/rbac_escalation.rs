//! Who writes a role or binding must hold every permission in it, or be allowed to `escalate` or `bind`.

use api_rules::{
    admission::{AdmissionRequest, Operation},
    authz::{
        Attributes, Rule, SYSTEM_MASTERS, escalation,
        rbac::{Role, RoleRef},
    },
    is_noop,
};
use api_types::Status;
use serde_json::Value;

use crate::authz::Authorizer;

const GROUP: &str = "rbac.authorization.k8s.io";

pub fn check(authorizer: &Authorizer, request: &AdmissionRequest, object: &Value) -> Result<(), Status> {
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    if !written || request.resource.group != GROUP || request.user.is_in(SYSTEM_MASTERS) {
        return Ok(());
    }
    match &*request.resource.resource {
        "roles" | "clusterroles" => role(authorizer, request, object),
        "rolebindings" | "clusterrolebindings" => binding(authorizer, request, object),
        _ => Ok(()),
    }
}

fn role(authorizer: &Authorizer, request: &AdmissionRequest, object: &Value) -> Result<(), Status> {
    if request.old.is_some_and(|old| is_noop(&old["rules"], &object["rules"])) {
        return Ok(());
    }
    if may(authorizer, request, "escalate", &request.resource.resource, request.name) {
        return Ok(());
    }
    let wanted: Role = serde_json::from_value(object.clone()).map_err(Status::internal)?;
    covered(authorizer, request, &wanted.rules)
}

fn binding(authorizer: &Authorizer, request: &AdmissionRequest, object: &Value) -> Result<(), Status> {
    let same = |field: &str| request.old.is_some_and(|old| is_noop(&old[field], &object[field]));
    if same("subjects") && same("roleRef") {
        return Ok(());
    }
    let role: RoleRef = serde_json::from_value(object["roleRef"].clone()).map_err(Status::internal)?;
    let resource = if role.kind == "Role" { "roles" } else { "clusterroles" };
    if may(authorizer, request, "bind", resource, &role.name) {
        return Ok(());
    }
    match authorizer.rules_of(request.namespace, &role) {
        Some(rules) => covered(authorizer, request, &rules),
        None => {
            let missing = api_types::GroupResource::new(GROUP, resource);
            Err(Status::not_found(&missing, &role.name))
        }
    }
}

fn may(authorizer: &Authorizer, request: &AdmissionRequest, verb: &str, resource: &str, name: &str) -> bool {
    let asked = Attributes {
        verb,
        api_group: GROUP,
        api_version: "v1",
        resource,
        namespace: request.namespace,
        name,
        ..Attributes::default()
    };
    authorizer.decide(request.user, &asked).is_allowed()
}

fn covered(authorizer: &Authorizer, request: &AdmissionRequest, wanted: &[Rule]) -> Result<(), Status> {
    let (owned, _) = authorizer.rules_for(request.user, request.namespace);
    let missing = escalation::not_covered(&owned, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<_> = request.user.groups.iter().map(|group| format!("{group:?}")).collect();
    let lines: Vec<_> = missing.iter().map(escalation::describe).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        request.user.name,
        groups.join(" "),
        lines.join("\n")
    );
    Err(Status::forbidden(&request.resource.group_resource(), request.name, why))
}
