//! `componentstatuses`: asks scheduler, controller manager and etcd whether they are well, when it is asked itself.
//!
//! Scheduler and controller manager are looked for on this machine, as upstream does; elsewhere they may be well all the
//! same. That is why the resource is deprecated.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_rules::encode;
use api_types::{Status, selector::Selector};
use bytes::Bytes;
use futures::future::join_all;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::Call;
use crate::{
    answer::{self, Answer},
    node_proxy, render,
};

const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: usize = 1 << 10;
const DEPRECATED: &str = "v1 ComponentStatus is deprecated in v1.19+";

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    /// Its health is served over TLS at this port.
    Local(u16),
    Etcd,
}

pub async fn serve(call: &Call<'_>) -> Result<Answer, Status> {
    call.warn(vec![DEPRECATED.to_owned()]);
    let form = call.form()?;
    let now = call.core().clock.now();
    if call.info.verb == "get" {
        let (name, component) =
            components(call).into_iter().find(|(name, _)| name == call.info.name).ok_or_else(|| call.not_found())?;
        let found = object(&name, ask(call, component).await);
        let json = Bytes::from(encode(&found));
        return Ok(answer::document(StatusCode::OK, render::object(call.served, form, &json, now), form));
    }
    let labels = Selector::parse(call.query.get("labelSelector").unwrap_or_default())
        .map_err(|why| Status::bad_request(why.to_string()))?;
    // None of them has a label.
    let asked = components(call).into_iter().filter(|_| labels.matches(&BTreeMap::<String, String>::new()));
    let found = asked.map(async |(name, component)| object(&name, ask(call, component).await));
    let mut json = render::list_lead(call.served, form, &json!({}));
    for (i, object) in join_all(found).await.iter().enumerate() {
        if i > 0 {
            json.push(b',');
        }
        json.extend_from_slice(&render::item(call.served, form, &Bytes::from(encode(object)), now));
    }
    json.extend_from_slice(b"]}");
    Ok(answer::document(StatusCode::OK, json.into(), form))
}

fn components(call: &Call<'_>) -> Vec<(String, Component)> {
    let etcd = (0..call.core().config.etcd_servers.len().max(1)).map(|i| (format!("etcd-{i}"), Component::Etcd));
    let local = [("controller-manager", 10257), ("scheduler", 10259)];
    local.into_iter().map(|(name, port)| (name.to_owned(), Component::Local(port))).chain(etcd).collect()
}

/// What it says of itself; an error if that it is not well, or nothing.
async fn ask(call: &Call<'_>, component: Component) -> Result<String, String> {
    match component {
        Component::Etcd => match timeout(PATIENCE, call.core().store.ping()).await {
            Ok(Ok(())) => Ok("ok".to_owned()),
            Ok(Err(why)) => Err(why.to_string()),
            Err(_) => Err("context deadline exceeded".to_owned()),
        },
        Component::Local(port) => {
            let url = format!("https://127.0.0.1:{port}/healthz");
            match timeout(PATIENCE, health(port)).await {
                Ok(Ok((StatusCode::OK, text))) => Ok(text),
                Ok(Ok((code, text))) => Err(format!("HTTP probe failed with statuscode: {}: {text}", code.as_u16())),
                Ok(Err(why)) => Err(format!("Get {url:?}: {why}")),
                Err(_) => Err(format!("Get {url:?}: context deadline exceeded")),
            }
        }
    }
}

async fn health(port: u16) -> anyhow::Result<(StatusCode, String)> {
    let authority = format!("127.0.0.1:{port}");
    let stream = TcpStream::connect(&authority).await;
    let stream = stream.map_err(|why| anyhow::anyhow!(node_proxy::dial_error(&authority, &why)))?;
    let connector = TlsConnector::from(Arc::new(node_proxy::unchecked_tls()));
    let stream = connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let request = Request::get("/healthz").header(header::HOST, authority).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|why| anyhow::anyhow!("{why}"))?.to_bytes();
        Ok((code, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    tokio::select! {
        answered = answered => answered,
        ended = connection => Err(ended.err().map_or_else(|| anyhow::anyhow!("EOF"), Into::into)),
    }
}

fn object(name: &str, said: Result<String, String>) -> Value {
    let (status, message) = match said {
        Ok(message) => ("True", message),
        Err(why) => ("False", why),
    };
    json!({
        "apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": name},
        "conditions": [{"type": "Healthy", "status": status, "message": message}],
    })
}
