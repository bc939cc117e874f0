//! Container logs: which lines are wanted, read from the file that the runtime writes, for as long as it is followed.

mod line;
mod read;
mod tail;
mod watch;

use std::sync::Arc;

use component::serve::Body;
use futures::StreamExt as _;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::query::Query;
use super::route::ContainerRef;
use super::{Answer, Refusal, containers, refuse, typed};
use crate::context::Context;

/// Pieces of a log on their way to a client that reads slowly.
const BUFFER: usize = 8;

/// `PodLogOptions`, as far as they concern the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub follow: bool,
    pub timestamps: bool,
    pub tail: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit: Option<u64>,
    pub streams: Streams,
}

/// Of which stream lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    #[default]
    All,
    Stdout,
    Stderr,
}

impl Options {
    fn parse(query: &Query, now: Timestamp) -> Result<Options, Refusal> {
        let unprocessable = |why: String| refuse(StatusCode::UNPROCESSABLE_ENTITY, why);
        let number = |name: &str| match query.get(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => match value.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(unprocessable(format!("{name}: invalid value {value:?}: must be a non-negative number"))),
            },
        };
        let since = match (number("sinceSeconds")?, query.get("sinceTime")) {
            (Some(seconds), _) => {
                let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                Some(now.checked_sub(seconds).unwrap_or(Timestamp::MIN))
            }
            (None, Some(time)) => {
                let parsed = time.parse();
                Some(
                    parsed
                        .map_err(|_| unprocessable(format!("sinceTime: invalid value {time:?}: must be RFC 3339")))?,
                )
            }
            (None, None) => None,
        };
        let streams = match query.get("stream") {
            None | Some("" | "All") => Streams::All,
            Some("Stdout") => Streams::Stdout,
            Some("Stderr") => Streams::Stderr,
            Some(other) => return Err(unprocessable(format!("stream: unsupported value {other:?}"))),
        };
        Ok(Options {
            follow: query.is_set("follow"),
            timestamps: query.is_set("timestamps"),
            tail: number("tailLines")?,
            since,
            limit: number("limitBytes")?,
            streams,
        })
    }
}

pub async fn serve(context: &Arc<Context>, wanted: &ContainerRef, query: &Query) -> Answer {
    let options = Options::parse(query, context.clock.now())?;
    let container = containers::logged(context, wanted, query.is_set("previous"))?;
    let log = read::Log::open(context.runtime.clone(), container.id.clone(), container.log_path.clone().into()).await;
    let log = log.map_err(|error| {
        let why = format!("failed to try resolving symlinks in path {:?}: {error}", container.log_path);
        refuse(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        if let Err(error) = log.send(&options, &sender).await {
            sender.send(Err(error.into())).await.ok();
        }
    });
    let pieces =
        futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Ok(typed(Body::stream(pieces.boxed()), "text/plain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let check = |query: &str, want: Option<Options>| {
            assert_eq!(Options::parse(&Query::parse(query), now).ok(), want, "{query}");
        };
        check("", Some(Options::default()));
        check(
            "follow=true&timestamps=true&tailLines=3&limitBytes=9",
            Some(Options { follow: true, timestamps: true, tail: Some(3), limit: Some(9), ..Options::default() }),
        );
        let since = Some("2026-01-01T00:00:30Z".parse().unwrap());
        check("sinceSeconds=30", Some(Options { since, ..Options::default() }));
        check("sinceTime=2026-01-01T00:00:30Z", Some(Options { since, ..Options::default() }));
        check("stream=Stderr", Some(Options { streams: Streams::Stderr, ..Options::default() }));
        check("tailLines=-1", None);
        check("sinceTime=yesterday", None);
        check("stream=both", None);
    }
}
