//! A text from the web: manifests that are named by URL.

use anyhow::{Context, bail, ensure};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use kube::{Client, Config, client::Body};

/// As far as a row of redirects is followed.
const HOPS: usize = 10;
/// Bytes of the largest manifest that is read.
const LIMIT: usize = 64 << 20;

/// The text behind an `http` or `https` URL, whose server is checked against this machine's authorities.
pub async fn text(url: &str) -> anyhow::Result<String> {
    let mut next: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    for _ in 0..HOPS {
        let (Some("http" | "https"), Some(authority)) = (next.scheme_str(), next.authority()) else {
            bail!("{next}: only http and https URLs are read");
        };
        let root: Uri = format!("{}://{authority}", next.scheme_str().unwrap_or("https")).parse()?;
        let path = next.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let client = Client::try_from(Config::new(root.clone()))?;
        let request = Request::get(&path).body(Body::from(Vec::new()))?;
        let answer =
            client.send(request).await.map_err(|error| anyhow::anyhow!(error).context(format!("reading {next}")))?;
        let status = answer.status();
        if status.is_redirection() {
            let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to.with_context(|| format!("{next} leads nowhere"))?;
            next = if to.starts_with('/') {
                format!("{}{to}", root.to_string().trim_end_matches('/'))
            } else {
                to.to_owned()
            }
            .parse()?;
            continue;
        }
        ensure!(
            status.is_success(),
            "unable to read URL \"{url}\", server reported {status}, status code={}",
            status.as_u16()
        );
        let body = Limited::new(answer.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("reading {url}: {error}"))?.to_bytes();
        return String::from_utf8(body.to_vec()).with_context(|| format!("{url} is not text"));
    }
    bail!("{url}: more than {HOPS} redirects")
}
