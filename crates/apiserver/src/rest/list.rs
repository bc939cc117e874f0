//! LIST: written from the cache's bytes as they are, a chunk at a time, so that memory does not grow with the answer.

use std::{collections::VecDeque, io::Write, sync::Arc};

use api_rules::{Kind, value};
use api_types::{
    Status,
    selector::{FieldSelector, Selector},
};
use bytes::{Bytes, BytesMut};
use component::serve::Body;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use http::StatusCode;
use serde_json::{Value, json};
use store::{Filter, List, Object, StoreError};

use super::{
    Call, list_protobuf,
    page::{self, Page},
};
use crate::{
    answer::{self, Answer, COMPRESS_FROM},
    app::App,
    core::Served,
    negotiate::{Form, Media, Shape},
    render,
};

/// Bytes of one piece of an answer.
const CHUNK: usize = 32 << 10;
/// Objects looked at between two pieces.
const BATCH: usize = 256;

pub async fn list(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let filter = filter(call)?;
    let page = Page::of(&call.query)?;
    let id = call.id()?;
    let namespace = Some(call.namespace()).filter(|namespace| !namespace.is_empty());
    let expired = |error| match (error, &page.after) {
        (StoreError::Expired, Some(after)) => page::expired(after),
        (error, _) => answer::store_error(error),
    };
    let store = &call.core().store;
    let mut list = store.list(id, namespace, page.after.as_deref(), page.at).await.map_err(expired)?;
    let mut metadata = json!({ "resourceVersion": list.revision.to_string() });
    let mut ready = VecDeque::new();
    if let Some(limit) = page.limit {
        let cut = take_page(call, &mut list, &filter, limit, &mut ready).await.map_err(expired)?;
        if let Some((after, remaining)) = cut {
            metadata["continue"] = page::token(list.revision, &after).into();
            if filter.labels.is_everything() && filter.fields.is_everything() {
                metadata["remainingItemCount"] = remaining.into();
            }
            store.keep_page(id, &list);
        }
    }
    let source = page.limit.is_none().then_some(list);
    let lead = match form.media {
        Media::Protobuf => Vec::new(),
        _ => render::list_lead(call.served, form.shape, &metadata),
    };
    let items = Items {
        app: call.app.clone(),
        served: call.served.clone(),
        shape: form.shape,
        filter,
        source,
        ready,
        lead: Some(lead),
        written: false,
    };
    match form.media {
        Media::Protobuf => list_protobuf::answer(items, form.shape, &metadata).await,
        _ => items.answer(form, answer::accepts_gzip(call.headers)).await,
    }
}

/// Collects one page. If objects follow, where it ends and how many they are.
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
                let after = page.back().map(|last| last.key().to_owned()).unwrap_or_default();
                let remaining = list.remaining(&after, passed);
                return Ok((remaining > 0).then_some((after, remaining)));
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
            return Err(Status::bad_request(if kind.selectable_fields().is_empty() {
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
    let namespace = Some(call.namespace()).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
    Ok(Filter { namespace, labels, fields })
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

/// The items of an answer that are still to be written.
pub(super) struct Items {
    app: Arc<App>,
    pub(super) served: Arc<Served>,
    shape: Shape,
    filter: Filter,
    /// Where more objects come from.
    source: Option<List>,
    /// Objects that are selected already.
    ready: VecDeque<Arc<Object>>,
    lead: Option<Vec<u8>>,
    written: bool,
}

impl Items {
    /// A small list as a whole, a large one as a stream, compressed if the client can read that.
    async fn answer(mut self, form: Form, gzip: bool) -> Result<Answer, Status> {
        let mut first = BytesMut::new();
        let streams = form.media == Media::Json && !form.pretty;
        let limit = if streams { COMPRESS_FROM } else { usize::MAX };
        while first.len() < limit {
            match self.chunk().await.map_err(answer::store_error)? {
                Some(chunk) => first.extend_from_slice(&chunk),
                None => return Ok(answer::document(StatusCode::OK, first.freeze(), form)),
            }
        }
        let first = first.freeze();
        let encoder = gzip.then(|| GzEncoder::new(Vec::with_capacity(CHUNK), Compression::fast()));
        let mut response = answer::with_body(StatusCode::OK, Body::Empty, form.media.content_type());
        if gzip {
            answer::mark_compressed(response.headers_mut());
        }
        *response.body_mut() = Body::stream(stream::try_unfold((self, Some(first), encoder, false), next_piece));
        Ok(response)
    }

    /// The next object that is selected.
    pub(super) async fn object(&mut self) -> Result<Option<Arc<Object>>, StoreError> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Some(object));
            }
            let Some(source) = &mut self.source else { return Ok(None) };
            let store = &self.app.core.store;
            let objects = source.chunk(store, BATCH).await?;
            if objects.is_empty() {
                self.source = None;
            }
            let selects = self.served.id.as_ref().map(|id| &id.resource.selects);
            let selected = |o: &Arc<Object>| selects.is_some_and(|selects| self.filter.matches(o, selects));
            self.ready.extend(objects.into_iter().filter(selected));
        }
    }

    /// The next piece of JSON; `None` after the last.
    async fn chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut out = match self.lead.take() {
            Some(lead) => BytesMut::from(Bytes::from(lead)),
            None if self.source.is_none() && self.ready.is_empty() => return Ok(None),
            None => BytesMut::with_capacity(CHUNK + (CHUNK >> 2)),
        };
        let now = self.app.core.clock.now();
        while out.len() < CHUNK {
            let Some(object) = self.object().await? else { break };
            if std::mem::replace(&mut self.written, true) {
                out.extend_from_slice(b",");
            }
            if self.shape == Shape::Whole && self.served.kind.is_storage_version() {
                out.extend_from_slice(object.json());
            } else {
                out.extend_from_slice(&render::item(&self.served, self.shape, &object.body(), now));
            }
        }
        if self.source.is_none() && self.ready.is_empty() {
            out.extend_from_slice(b"]}");
        }
        Ok(Some(out.freeze()))
    }
}

type Piece = (Items, Option<Bytes>, Option<GzEncoder<Vec<u8>>>, bool);
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The next bytes of the body. What fails in the middle of an answer ends the connection.
async fn next_piece((mut items, mut first, mut encoder, done): Piece) -> Result<Option<(Bytes, Piece)>, BoxError> {
    if done {
        return Ok(None);
    }
    loop {
        let chunk = match first.take() {
            Some(chunk) => Some(chunk),
            None => items.chunk().await?,
        };
        let Some(chunk) = chunk else {
            let Some(encoder) = encoder.take() else { return Ok(None) };
            return Ok(Some((Bytes::from(encoder.finish()?), (items, None, None, true))));
        };
        let Some(gzip) = &mut encoder else { return Ok(Some((chunk, (items, None, None, false)))) };
        gzip.write_all(&chunk)?;
        if gzip.get_ref().len() >= CHUNK / 2 {
            let ready = std::mem::take(gzip.get_mut());
            return Ok(Some((Bytes::from(ready), (items, None, encoder, false))));
        }
    }
}

/// The metadata of a list made by hand, such as the answer of a deleted collection.
pub fn list_metadata(revision: i64) -> Value {
    json!({ "resourceVersion": revision.to_string() })
}
