//! A small API server in memory, for the tests of this crate: one kind's collection semantics over any path.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

#[derive(Clone)]
pub struct Fake(Arc<State>);

struct State {
    inner: Mutex<Inner>,
    news: broadcast::Sender<News>,
}

#[derive(Clone)]
enum News {
    /// The object's path (none for a bookmark), and the line.
    Event(String, String),
    Cut,
}

#[derive(Default)]
struct Inner {
    /// By path of the object.
    objects: BTreeMap<String, Value>,
    log: Vec<(u64, String, String)>,
    revision: u64,
    /// Watches from before this revision are answered with 410.
    oldest: u64,
    /// Requests seen, `METHOD path`.
    requests: Vec<String>,
    /// Answers to give instead, for as many requests that are no watch.
    faults: Vec<Fault>,
    down: bool,
    /// How long a request that is no watch takes.
    answer_time: Duration,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    /// The request is refused.
    Refuse(u16),
    /// It is carried out, but the answer is lost.
    LoseAnswer,
}

impl Fake {
    pub fn new() -> Self {
        let inner = Inner { revision: 10, ..Inner::default() };
        Self(Arc::new(State { inner: Mutex::new(inner), news: broadcast::Sender::new(1000) }))
    }

    pub fn client(&self) -> kube::Client {
        let fake = self.clone();
        crate::from_service(tower::service_fn(move |request| {
            let fake = fake.clone();
            async move { fake.answer(request).await }
        }))
    }

    /// Changes an object behind everybody's back: `None` deletes it.
    pub fn set(&self, path: &str, object: Option<Value>) -> u64 {
        let mut inner = self.0.inner.lock();
        self.store(&mut inner, path, object)["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.inner.lock().objects.get(path).cloned()
    }

    pub fn requests(&self, prefix: &str) -> usize {
        self.0.inner.lock().requests.iter().filter(|request| request.starts_with(prefix)).count()
    }

    pub fn fault(&self, fault: Fault) {
        self.0.inner.lock().faults.push(fault);
    }

    /// Nothing is answered, and all watches end.
    pub fn set_down(&self, down: bool) {
        self.0.inner.lock().down = down;
        if down {
            self.cut();
        }
    }

    pub fn set_answer_time(&self, time: Duration) {
        self.0.inner.lock().answer_time = time;
    }

    /// Ends all watches.
    pub fn cut(&self) {
        let _ = self.0.news.send(News::Cut);
    }

    /// Forgets what happened so far.
    pub fn compact(&self) {
        let mut inner = self.0.inner.lock();
        inner.oldest = inner.revision + 1;
        inner.log.clear();
    }

    /// Tells all watchers that nothing happened up to a later revision.
    pub fn bookmark(&self) -> u64 {
        let mut inner = self.0.inner.lock();
        inner.revision += 10;
        let object = json!({"metadata": {"resourceVersion": inner.revision.to_string()}});
        let line = json!({"type": "BOOKMARK", "object": object}).to_string() + "\n";
        let _ = self.0.news.send(News::Event(String::new(), line));
        inner.revision
    }

    fn store(&self, inner: &mut Inner, path: &str, object: Option<Value>) -> Value {
        inner.revision += 1;
        let version = json!(inner.revision.to_string());
        let (kind, mut object) = match object {
            Some(mut object) => {
                let known = inner.objects.get(path);
                let uid =
                    known.map_or_else(|| json!(format!("uid-{}", inner.revision)), |o| o["metadata"]["uid"].clone());
                object["metadata"]["uid"] = uid;
                (if known.is_some() { "MODIFIED" } else { "ADDED" }, object)
            }
            None => ("DELETED", inner.objects[path].clone()),
        };
        object["metadata"]["resourceVersion"] = version;
        if kind == "DELETED" {
            inner.objects.remove(path);
        } else {
            inner.objects.insert(path.to_owned(), object.clone());
        }
        let line = json!({"type": kind, "object": object}).to_string() + "\n";
        inner.log.push((inner.revision, path.to_owned(), line.clone()));
        let _ = self.0.news.send(News::Event(path.to_owned(), line));
        object
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let watch = query.contains("watch=true");
        let answer_time = self.0.inner.lock().answer_time;
        if !watch && !answer_time.is_zero() {
            tokio::time::sleep(answer_time).await;
        }
        let mut inner = self.0.inner.lock();
        if inner.down {
            return Err(std::io::Error::other("down"));
        }
        let verb = if watch { "WATCH" } else { parts.method.as_str() };
        inner.requests.push(format!("{verb} {path}"));
        if watch {
            return Ok(self.watch(&inner, &path, &query));
        }
        let fault = if inner.faults.is_empty() { None } else { Some(inner.faults.remove(0)) };
        if let Some(Fault::Refuse(code)) = fault {
            return Ok(status(code, "InternalError"));
        }
        let answer = self.carry_out(&mut inner, &parts.method, &path, &body);
        if fault == Some(Fault::LoseAnswer) {
            return Err(std::io::Error::other("lost"));
        }
        Ok(answer)
    }

    fn carry_out(&self, inner: &mut Inner, method: &Method, path: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let known = inner.objects.get(path).cloned();
        match (method.clone(), known) {
            (Method::POST, _) => {
                let name = body["metadata"]["name"].as_str().map(str::to_owned);
                let name = name.unwrap_or_else(|| {
                    format!("{}{}", body["metadata"]["generateName"].as_str().unwrap(), inner.revision)
                });
                let path = format!("{path}/{name}");
                if inner.objects.contains_key(&path) {
                    return status(409, "AlreadyExists");
                }
                let mut body = body;
                body["metadata"]["name"] = json!(name);
                json_answer(&self.store(inner, &path, Some(body)))
            }
            (Method::GET, Some(object)) => json_answer(&object),
            (Method::GET, None) if path.ends_with('s') => {
                let items: Vec<&Value> =
                    inner.objects.iter().filter(|(own, _)| under(path, own)).map(|(_, object)| object).collect();
                json_answer(&json!({"metadata": {"resourceVersion": inner.revision.to_string()}, "items": items}))
            }
            (_, None) => status(404, "NotFound"),
            (Method::PUT | Method::PATCH, Some(object)) => {
                let version = &body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                let mut new = object;
                if *method == Method::PUT {
                    new = body;
                } else {
                    for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "metadata") {
                        new[field] = value.clone();
                    }
                }
                json_answer(&self.store(inner, path, Some(new)))
            }
            (Method::DELETE, Some(_)) => {
                self.store(inner, path, None);
                json_answer(&json!({"kind": "Status", "status": "Success"}))
            }
            (method, Some(_)) => panic!("{method} {path}"),
        }
    }

    fn watch(&self, inner: &Inner, path: &str, query: &str) -> Answer {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let from: u64 = from.unwrap().parse().unwrap();
        if from + 1 < inner.oldest {
            return status(410, "Expired");
        }
        let past: Vec<News> = inner
            .log
            .iter()
            .filter(|(revision, ..)| *revision > from)
            .map(|(_, p, l)| News::Event(p.clone(), l.clone()))
            .collect();
        let live = BroadcastStream::new(self.0.news.subscribe()).filter_map(|news| async { news.ok() });
        let path = path.to_owned();
        let lines = stream::iter(past)
            .chain(live)
            .take_while(|news| {
                let goes_on = !matches!(news, News::Cut);
                async move { goes_on }
            })
            .filter_map(move |news| {
                let line = match news {
                    News::Event(own, line) if own.is_empty() || under(&path, &own) => Some(line),
                    _ => None,
                };
                async move { line.map(|line| Ok(Frame::data(Bytes::from(line)))) }
            });
        Response::new(UnsyncBoxBody::new(StreamBody::new(lines)))
    }
}

/// Whether an object's path lies in a collection, of one or of all namespaces.
fn under(collection: &str, object: &str) -> bool {
    let (folder, _) = object.rsplit_once('/').unwrap();
    let plural = collection.rsplit('/').next().unwrap();
    folder == collection
        || (folder.contains("/namespaces/") && !collection.contains("/namespaces/") && folder.ends_with(plural))
}

fn json_answer(value: &Value) -> Answer {
    full(200, value.to_string())
}

fn status(code: u16, reason: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": reason});
    full(code, body.to_string())
}

fn full(code: u16, body: String) -> Answer {
    let body = http_body_util::Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    Response::builder().status(code).body(UnsyncBoxBody::new(body)).unwrap()
}
