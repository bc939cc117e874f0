//! DELETE of a collection: every selected object, each by the rules of a single delete.

use api_types::Status;
use bytes::{BufMut, BytesMut};
use http::StatusCode;
use store::{Freshness, ListAt};

use super::{
    Call,
    delete::{Deleted, delete_object},
    delete_options::DeleteOptions,
    list,
};
use crate::{
    answer::{self, Answer},
    negotiate::Form,
    render,
};

const BATCH: usize = 256;

pub async fn delete(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let options = DeleteOptions::of(call)?;
    let filter = call.filter()?;
    let id = call.id()?;
    let store = &call.core().store;
    let selects = &id.resource.selects;
    let namespace = Some(call.namespace()).filter(|namespace| !namespace.is_empty());
    let mut list =
        store.list(id, namespace, None, ListAt::Fresh(Freshness::Latest)).await.map_err(answer::store_error)?;
    let mut items =
        BytesMut::from(&render::list_lead(call.served, Form::default(), &list::list_metadata(list.revision))[..]);
    let mut count = 0;
    loop {
        let objects = list.chunk(store, BATCH).await.map_err(answer::store_error)?;
        if objects.is_empty() {
            break;
        }
        for object in objects.iter().filter(|object| filter.matches(object, selects)) {
            let json = match delete_object(&call.of(object.namespace(), object.name()), &options).await {
                Ok(Deleted::Gone(json) | Deleted::Marked(json)) => json,
                Err(status) if status.code == 404 => continue,
                Err(status) => return Err(status),
            };
            if count > 0 {
                items.put_u8(b',');
            }
            count += 1;
            items.put(render::whole(&*call.served.kind, &json));
        }
    }
    items.put_slice(b"]}");
    Ok(answer::document(StatusCode::OK, items.freeze(), form))
}
