//! Writes of the server on its own account: create what is missing, change what differs, once more on a conflict.

use anyhow::{Context, bail};
use api_rules::{Kind, apply, kinds, value};
use api_types::names::split_api_version;
use serde_json::{Value, json};
use store::{Check, Freshness, Outcome, Transaction, Write};

use crate::{claims::Claims, core::Core, rest::ownership::with_subject};

/// Attempts before a conflict is an error: several servers start at once, not endlessly many.
const ATTEMPTS: usize = 8;
/// Who owns what the server writes.
const MANAGER: &str = "kogge-apiserver";

/// Creates `object` if it is missing; otherwise asks `merge` what the present one should be (`None`: as it is).
pub async fn ensure(
    core: &Core,
    resource: &str,
    api_version: &str,
    object: Value,
    merge: impl Fn(&Value) -> Option<Value>,
) -> anyhow::Result<()> {
    let kind = kind_of(resource, api_version)?;
    for _ in 0..ATTEMPTS {
        let (old, revision) = present(core, kind, &object).await?;
        let new = match &old {
            None => created(core, kind, object.clone()),
            Some(old) => match merge(old) {
                Some(new) if !api_rules::is_noop(old, &new) => new,
                _ => return Ok(()),
            },
        };
        if commit(core, kind, old.as_ref(), new, revision, Claims::default()).await? {
            return Ok(());
        }
    }
    bail!("{resource} {} changes all the time", object["metadata"]["name"])
}

pub fn kind_of(resource: &str, api_version: &str) -> anyhow::Result<&'static dyn Kind> {
    let (group, version) = split_api_version(api_version);
    kinds::find(group, version, resource).with_context(|| format!("{resource} of {api_version} is not served"))
}

/// The stored object of the same name with its revision, 0 if there is none.
pub async fn present(core: &Core, kind: &dyn Kind, object: &Value) -> anyhow::Result<(Option<Value>, i64)> {
    let names = kind.names();
    let id = core.resource(names.group, names.plural).with_context(|| format!("{} is not stored", names.plural))?;
    let (namespace, name) = place(object);
    let found = core.store.get(&id, namespace, name, Freshness::Latest).await?;
    Ok(match found {
        Some(found) => (Some(found.value()), found.revision()),
        None => (None, 0),
    })
}

/// A new object with everything the server adds to one.
pub fn created(core: &Core, kind: &dyn Kind, mut object: Value) -> Value {
    object["apiVersion"] = json!(kind.names().api_version());
    object["kind"] = json!(kind.names().kind);
    let user = api_rules::authz::User::loopback();
    let requester = api_rules::Requester { name: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra };
    kind.set_defaults(&mut object);
    kind.prepare_create(&mut object, &api_rules::Context { now: core.clock.now(), user: requester });
    object["metadata"]["uid"] = json!(core.random.uid());
    object["metadata"]["creationTimestamp"] = json!(core.timestamp());
    object
}

/// Makes the server the owner of what it changes in `object`.
fn own(core: &Core, kind: &dyn Kind, old: Option<&Value>, object: &mut Value) {
    let path = ["metadata", "managedFields"];
    let before = value::remove(object, &path);
    let stored = before.as_ref().map(ToString::to_string).unwrap_or_default();
    let api_version = kind.names().api_version();
    let owned = with_subject(core, kind, &api_version, "", |subject| {
        apply::track(subject, MANAGER, old, object, stored.as_bytes())
    });
    let after = match owned {
        Ok(Some(owned)) => serde_json::from_slice(&owned).ok(),
        _ => before,
    };
    if let Some(owners) = after {
        value::set(object, &path, owners);
    }
}

/// Whether `object` was stored in the place of `old`; if not, another writer came first.
pub async fn commit(
    core: &Core,
    kind: &dyn Kind,
    old: Option<&Value>,
    mut object: Value,
    revision: i64,
    claims: Claims,
) -> anyhow::Result<bool> {
    let names = kind.names();
    let id = core.resource(names.group, names.plural).with_context(|| format!("{} is not stored", names.plural))?;
    let (namespace, name) = place(&object);
    let key = core.store.key(&id, namespace, name);
    own(core, kind, old, &mut object);
    let mut stored = kind.to_storage(object);
    if let Some(metadata) = stored["metadata"].as_object_mut() {
        metadata.shift_remove("resourceVersion");
    }
    let mut transaction = Transaction { checks: claims.checks, writes: claims.writes };
    transaction.checks.push(Check::unchanged(key.clone(), revision));
    transaction.writes.push(Write::put(key, api_rules::encode(&stored)));
    Ok(matches!(core.store.commit(transaction).await?, Outcome::Committed { .. }))
}

fn place(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}
