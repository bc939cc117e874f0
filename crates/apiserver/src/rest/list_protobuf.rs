//! A list as protobuf. Its length leads it, so every item is encoded before the first byte goes out; the encodings are the
//! ones kept with the objects, as long as there is room for them.

use std::collections::VecDeque;

use api_types::Status;
use bytes::{Bytes, BytesMut};
use component::serve::Body;
use futures::stream;
use http::StatusCode;
use serde_json::Value;

use super::list_body::Items;
use crate::{
    answer::{self, Answer},
    negotiate::{Media, Shape},
    protobuf, render,
};

/// Bytes of one piece of an answer.
const CHUNK: usize = 32 << 10;

/// Reads all items and sends them.
pub async fn answer(mut items: Items, metadata: &Value) -> Result<Answer, Status> {
    let form = items.form;
    let lead = protobuf::list_metadata(metadata.to_string().as_bytes()).map_err(Status::internal)?;
    let mut length = lead.len();
    let mut pieces = VecDeque::from([Bytes::from(lead)]);
    while let Some(object) = items.object().await.map_err(answer::store_error)? {
        let item = render::protobuf_message(&items.served, form, &object).map_err(Status::internal)?;
        let lead = protobuf::item_lead(item.len());
        length += lead.len() + item.len();
        pieces.extend([Bytes::from(lead), item]);
    }
    let names = items.served.kind.names();
    let envelope = match form.shape {
        Shape::Metadata | Shape::MetadataList => {
            protobuf::envelope(form.meta.api_version(), "PartialObjectMetadataList", length)
        }
        _ => protobuf::envelope(&items.served.api_version, names.list_kind, length),
    };
    pieces.push_front(envelope.into());
    let body = stream::unfold(pieces, |mut pieces| async move {
        let mut out = BytesMut::with_capacity(CHUNK + (CHUNK >> 2));
        while out.len() < CHUNK
            && let Some(piece) = pieces.pop_front()
        {
            out.extend_from_slice(&piece);
        }
        (!out.is_empty()).then(|| (Ok(out.freeze()), pieces))
    });
    Ok(answer::with_body(StatusCode::OK, Body::stream(body), Media::Protobuf.content_type()))
}
