//! LIST: which objects, from which state, and where the next page begins. How they are written: `list_body`.

use std::{collections::VecDeque, sync::Arc};

use api_rules::{Kind, KindRef, value};
use api_types::{
    Status,
    selector::{FieldOperator, FieldRequirement, FieldSelector, Selector},
};
use serde_json::{Value, json};
use store::{Filter, List, Object, StoreError, next_key};

use super::{
    Call,
    list_body::{self, Items},
    list_options::ListOptions,
    list_protobuf,
    page::{self, Page},
};
use crate::{
    answer::{self, Answer},
    negotiate::Media,
    render,
};

/// Objects looked at between two pieces.
const BATCH: usize = 256;

pub async fn list(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let filter = filter(call)?;
    let page = Page::of(&ListOptions::of_list(&call.query)?, call.namespace())?;
    form.check_metadata(true, &go_list_type(call))?;
    let id = call.id()?;
    let namespace = Some(call.namespace()).filter(|namespace| !namespace.is_empty());
    let expired = |error| match (error, &page.from) {
        (StoreError::Expired, Some(from)) => page::expired(call.namespace(), from),
        (error, _) => answer::store_error(error),
    };
    let store = &call.core().store;
    let mut list = store.list(id, namespace, page.from.as_deref(), page.at).await.map_err(expired)?;
    let mut metadata = list_metadata(list.revision);
    let mut ready = VecDeque::new();
    if let Some(limit) = page.limit {
        let cut = take_page(call, &mut list, &filter, limit, &mut ready).await.map_err(expired)?;
        if let Some((next, remaining)) = cut {
            metadata["continue"] = page::token(list.revision, call.namespace(), &next).into();
            if filter.labels.is_everything() && filter.fields.is_everything() {
                metadata["remainingItemCount"] = remaining.into();
            }
            store.keep_page(id, &list);
        }
    }
    let source = page.limit.is_none().then_some(list);
    let items = Items { app: call.app.clone(), served: call.served.clone(), form, filter, source, ready };
    match form.media {
        Media::Protobuf => list_protobuf::answer(items, &metadata).await,
        Media::Json | Media::Yaml => {
            let lead = render::list_lead(call.served, form, &metadata);
            list_body::answer(items, lead, answer::accepts_gzip(call.headers)).await
        }
    }
}

/// What upstream calls the list's type where it refuses to show it in another form.
fn go_list_type(call: &Call<'_>) -> String {
    let names = call.served.kind.names();
    let package = names.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("*{package}.{}", names.list_kind)
}

/// Collects one page. If objects follow, where the next begins and how many they are.
async fn take_page(
    call: &Call<'_>,
    list: &mut List,
    filter: &Filter,
    limit: usize,
    page: &mut VecDeque<Arc<Object>>,
) -> Result<Option<(String, i64)>, StoreError> {
    let store = &call.core().store;
    let selects = &call.served.id.as_ref().expect("checked by the caller").resource.selects;
    let mut passed = 0;
    loop {
        let objects = list.chunk(store, BATCH).await?;
        if objects.is_empty() {
            return Ok(None);
        }
        for object in objects {
            passed += 1;
            if !filter.matches(&object, selects) {
                continue;
            }
            page.push_back(object);
            if page.len() == limit {
                let next = page.back().map(|last| next_key(last.key())).unwrap_or_default();
                let remaining = list.remaining(&next, passed);
                return Ok((remaining > 0).then_some((next, remaining)));
            }
        }
    }
}

/// The selectors of a request, checked against what the kind lets select.
pub fn filter(call: &Call<'_>) -> Result<Filter, Status> {
    let kind = &*call.served.kind;
    let labels = match call.query.get("labelSelector") {
        None => Selector::everything(),
        Some(text) => Selector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let mut fields = match call.query.get("fieldSelector") {
        None => FieldSelector::everything(),
        Some(text) => FieldSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    for requirement in &mut fields.requirements {
        let known = matches!(requirement.field.as_str(), "metadata.name" | "metadata.namespace")
            || kind.selectable_fields().contains(&requirement.field.as_str());
        if !known {
            let is_custom = matches!(call.served.kind, KindRef::Custom(_));
            return Err(Status::bad_request(if kind.selectable_fields().is_empty() && !is_custom {
                format!(
                    "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                    requirement.field
                )
            } else {
                format!("field label not supported: {}", requirement.field)
            }));
        }
        if !kind.is_storage_version() {
            requirement.field = stored_label(kind, &requirement.field);
        }
    }
    select_named(call.info.name, &mut fields)?;
    let namespace = Some(call.namespace()).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
    Ok(Filter { namespace, labels, fields })
}

/// A list or watch of one object by its path counts as selecting that name.
fn select_named(name: &str, fields: &mut FieldSelector) -> Result<(), Status> {
    const NAME: &str = "metadata.name";
    if name.is_empty() || fields.exact(NAME) == Some(name) {
        return Ok(());
    } else if !fields.is_everything() {
        return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    let requirement =
        FieldRequirement { field: NAME.to_owned(), operator: FieldOperator::Equals, value: name.to_owned() };
    fields.requirements.push(requirement);
    Ok(())
}

/// What a field of this version is called in the version that is stored: found by sending a mark through.
fn stored_label(kind: &dyn Kind, label: &str) -> String {
    const MARK: &str = "\u{1}";
    let path: Vec<&str> = label.split('.').collect();
    let mut probe = json!({});
    value::set(&mut probe, &path, MARK.into());
    marked_path(&kind.to_storage(probe), MARK).unwrap_or_else(|| label.to_owned())
}

fn marked_path(value: &Value, mark: &str) -> Option<String> {
    value.as_object()?.iter().find_map(|(name, member)| {
        if member == mark {
            return Some(name.clone());
        }
        marked_path(member, mark).map(|rest| format!("{name}.{rest}"))
    })
}

/// The metadata of a list made by hand, such as the answer of a deleted collection.
pub fn list_metadata(revision: i64) -> Value {
    json!({ "resourceVersion": revision.to_string() })
}
