//! How a list is written: from the cache's bytes as they are, a piece at a time, so that memory does not grow with the
//! answer. What is small goes out as a whole; what is large streams, in turns with other large answers.
//!
//! [`Writer`] knows the media types. Protobuf is not one of them: its lists are led by their length (`list_protobuf`).

use std::{collections::VecDeque, sync::Arc};

use api_types::Status;
use bytes::{BufMut, Bytes, BytesMut};
use component::serve::Body;
use futures::stream;
use http::StatusCode;
use store::{Filter, List, Object, StoreError};

use crate::{
    answer::{self, Answer, COMPRESS_FROM},
    app::App,
    core::Served,
    gzip::Gzip,
    negotiate::{Form, Media, Shape},
    pretty::Indenter,
    render,
    turns::Turn,
};

/// Bytes of one piece of an answer.
const PIECE: usize = 32 << 10;
/// Objects looked at between two pieces.
const BATCH: usize = 256;

/// The objects of an answer that are still to be written.
pub struct Items {
    pub app: Arc<App>,
    pub served: Arc<Served>,
    pub form: Form,
    pub filter: Filter,
    /// Where more objects come from.
    pub source: Option<List>,
    /// Objects that are selected already.
    pub ready: VecDeque<Arc<Object>>,
}

/// `lead` is the list up to its items, in JSON.
pub async fn answer(items: Items, lead: Vec<u8>, gzip: bool) -> Result<Answer, Status> {
    let form = items.form;
    let mut body = ListBody { writer: Writer::new(form), items, turn: None, gzip: None, ended: false };
    let mut first = BytesMut::with_capacity(PIECE + (PIECE >> 2));
    body.writer.lead(&lead, &mut first);
    body.fill(&mut first).await.map_err(answer::store_error)?;
    if body.ended {
        return Ok(answer::with_body(StatusCode::OK, Body::from(first.freeze()), form.media.content_type()));
    }
    let mut response = answer::with_body(StatusCode::OK, Body::Empty, form.media.content_type());
    if gzip && first.len() + body.items.weight(COMPRESS_FROM) >= COMPRESS_FROM {
        answer::mark_compressed(response.headers_mut());
        body.gzip = Some(Gzip::default());
    }
    let state = (body, Some(first));
    *response.body_mut() = Body::stream(stream::try_unfold(state, |(mut body, mut first)| async move {
        let piece = body.piece(first.take()).await?;
        Ok(piece.map(|piece| (piece, (body, None))))
    }));
    Ok(response)
}

impl Items {
    /// The next object that is selected.
    pub async fn object(&mut self) -> Result<Option<Arc<Object>>, StoreError> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Some(object));
            }
            let Some(source) = &mut self.source else { return Ok(None) };
            let store = &self.app.core.store;
            let objects = source.chunk(store, BATCH).await?;
            if objects.is_empty() {
                self.source = None;
                return Ok(None);
            }
            let Some(id) = &self.served.id else { return Ok(None) };
            let selects = &id.resource.selects;
            self.ready.extend(objects.into_iter().filter(|object| self.filter.matches(object, selects)));
        }
    }

    /// Bytes of the objects that are still to come, as stored; counted up to `enough`.
    fn weight(&self, enough: usize) -> usize {
        let selects = self.served.id.as_ref().map(|id| &id.resource.selects);
        let selected = |object: &&Arc<Object>| selects.is_some_and(|selects| self.filter.matches(object, selects));
        let rest = self.source.iter().flat_map(List::rest).filter(selected);
        let mut weight = 0;
        for object in self.ready.iter().chain(rest) {
            weight += object.len();
            if weight >= enough {
                break;
            }
        }
        weight
    }
}

struct ListBody {
    items: Items,
    writer: Writer,
    turn: Option<Turn>,
    gzip: Option<Gzip>,
    ended: bool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl ListBody {
    /// Writes objects until the piece is full or the list is at its end.
    async fn fill(&mut self, out: &mut BytesMut) -> Result<(), StoreError> {
        let form = self.items.form;
        let now = self.items.app.core.clock.now();
        while out.len() < PIECE {
            let Some(object) = self.items.object().await? else {
                self.writer.end(out);
                self.ended = true;
                return Ok(());
            };
            if form.shape == Shape::Whole && self.items.served.kind.is_storage_version() {
                self.writer.object(&object, out);
            } else {
                self.writer.item(&render::item(&self.items.served, form, &object.body(), now), out);
            }
        }
        Ok(())
    }

    /// The next bytes of the body. What fails in the middle of an answer ends the connection.
    async fn piece(&mut self, first: Option<BytesMut>) -> Result<Option<Bytes>, BoxError> {
        let text = match first {
            Some(first) => first,
            None if self.ended => return Ok(self.gzip.take().map(|gzip| gzip.end())),
            None => {
                self.take_turn().await;
                let mut out = BytesMut::with_capacity(PIECE + (PIECE >> 2));
                self.fill(&mut out).await?;
                out
            }
        };
        if self.turn.as_mut().is_some_and(|turn| !turn.spend(text.len())) || self.ended {
            self.turn = None;
        }
        match &mut self.gzip {
            None => Ok(Some(text.freeze())),
            Some(gzip) => Ok(Some(gzip.piece(&text)?)),
        }
    }

    async fn take_turn(&mut self) {
        if self.turn.as_mut().is_none_or(|turn| !turn.spend(0)) {
            self.turn = None;
            self.turn = Some(self.items.app.turns.next().await);
        }
    }
}

/// Puts the items of a list together in a media type.
enum Writer {
    Json { written: bool },
    Pretty { indenter: Indenter, written: bool },
    Yaml { written: bool },
}

impl Writer {
    fn new(form: Form) -> Self {
        match (form.media, form.pretty) {
            (Media::Json, false) => Self::Json { written: false },
            (Media::Json, true) => Self::Pretty { indenter: Indenter::default(), written: false },
            (Media::Yaml, _) => Self::Yaml { written: false },
            // Protobuf lists are led by their length, and so written elsewhere.
            (Media::Protobuf, _) => Self::Json { written: false },
        }
    }

    /// `lead` ends with the name of the array and its opening bracket.
    fn lead(&mut self, lead: &[u8], out: &mut BytesMut) {
        match self {
            Self::Json { .. } => out.put_slice(lead),
            Self::Pretty { indenter, .. } => indenter.write(lead, out),
            Self::Yaml { .. } => yaml_lead(lead, out),
        }
    }

    fn item(&mut self, json: &[u8], out: &mut BytesMut) {
        match self {
            Self::Json { written } => {
                if std::mem::replace(written, true) {
                    out.put_u8(b',');
                }
                out.put_slice(json);
            }
            Self::Pretty { indenter, written } => {
                if std::mem::replace(written, true) {
                    indenter.write(b",", out);
                }
                indenter.write(json, out);
            }
            Self::Yaml { written } => {
                if !std::mem::replace(written, true) {
                    out.put_u8(b'\n');
                }
                yaml_item(json, out);
            }
        }
    }

    /// An item as it is stored.
    fn object(&mut self, object: &Object, out: &mut BytesMut) {
        match self {
            Self::Json { written } => {
                if std::mem::replace(written, true) {
                    out.put_u8(b',');
                }
                object.write(out);
            }
            _ => self.item(&object.json(), out),
        }
    }

    fn end(&mut self, out: &mut BytesMut) {
        match self {
            Self::Json { .. } => out.put_slice(b"]}"),
            Self::Pretty { indenter, .. } => indenter.write(b"]}", out),
            Self::Yaml { written: true } => {}
            Self::Yaml { written: false } => out.put_slice(b" []\n"),
        }
    }
}

/// `…,"items":[` as the members before and `items:`.
fn yaml_lead(lead: &[u8], out: &mut BytesMut) {
    let text = String::from_utf8_lossy(lead);
    let (members, array) = text.rsplit_once(",\"").unwrap_or((&text, "items\":["));
    if let Some(yaml) = answer::yaml(format!("{members}}}").as_bytes()) {
        out.put_slice(yaml.as_bytes());
    }
    out.put_slice(array.trim_end_matches("\":[").as_bytes());
    out.put_u8(b':');
}

/// One element of a block sequence.
fn yaml_item(json: &[u8], out: &mut BytesMut) {
    let yaml = answer::yaml(json).unwrap_or_default();
    for (number, line) in yaml.lines().enumerate() {
        match (number, line) {
            (0, _) => out.put_slice(b"- "),
            (_, "") => {}
            _ => out.put_slice(b"  "),
        }
        out.put_slice(line.as_bytes());
        out.put_u8(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(form: Form, items: &[Value]) -> String {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(form);
        writer.lead(br#"{"kind":"L","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":["#, &mut out);
        for item in items {
            writer.item(item.to_string().as_bytes(), &mut out);
        }
        writer.end(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn every_media_type_says_the_same() {
        let lists = [
            vec![],
            vec![json!({"a": "x\n  y\n\nz\n", "b": [{"c": 1}, []]})],
            vec![json!({"a": "yes", "b": {}}), json!({"a": "- x", "b": ["0644", "#", "a: b"]})],
        ];
        for items in lists {
            let expected =
                json!({"kind": "L", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items});
            let json: Value = serde_json::from_str(&written(Form::default(), &items)).unwrap();
            assert_eq!(json, expected);
            let pretty = written(Form { pretty: true, ..Form::default() }, &items);
            assert_eq!(pretty, serde_json::to_string_pretty(&expected).unwrap());
            let yaml = written(Form { media: Media::Yaml, ..Form::default() }, &items);
            let read: Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(read, expected, "{yaml}");
        }
    }
}
