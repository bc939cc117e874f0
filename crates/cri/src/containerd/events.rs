//! containerd's event stream, turned into hints that already agree with CRI.
//!
//! CRI of containerd before 1.7 has no events, and its own view of a container trails the event by a moment. So an
//! exit is passed on only when CRI says the same: who reads the stream may ask at once and is told the truth.

use std::time::Duration;

use containerd_client::events::{ContainerCreate, ContainerDelete, TaskDelete, TaskExit, TaskOom, TaskStart};
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::types::Envelope;
use containerd_client::{to_any, with_namespace};
use futures::StreamExt as _;
use prost::Message;
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming};

use super::{Containerd, NAMESPACE};
use crate::runtime::{Change, Event, EventStream, Runtime as _};
use crate::v1;

/// Events waiting for their reader. A reader that falls behind slows containerd's stream, and loses nothing.
const BUFFER: usize = 1024;

/// How long CRI may take to agree with an exit before it is passed on regardless.
const AGREEMENT: Duration = Duration::from_secs(5);

/// Between attempts to connect while the runtime is away.
const RECONNECT: Duration = Duration::from_millis(50);

/// Published to see that a subscription stands.
const SUBSCRIBED: &str = "/kogge/subscribed";

/// What is listened to.
const TOPICS: [&str; 7] = [
    "/containers/create",
    "/containers/delete",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/oom",
    "/tasks/delete",
    SUBSCRIBED,
];

pub(super) fn stream(runtime: Containerd) -> EventStream {
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = pump(&runtime, &sender) => {}
        }
    });
    tokio_stream(receiver).boxed()
}

fn tokio_stream(receiver: mpsc::Receiver<Event>) -> impl futures::Stream<Item = Event> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// Reads containerd's stream into `sender`, connecting as often as it takes. Ends when nobody reads any more.
async fn pump(runtime: &Containerd, sender: &mpsc::Sender<Event>) {
    loop {
        if let Ok(mut envelopes) = subscribe(runtime).await {
            if sender.send(Event::Resync).await.is_err() {
                return;
            }
            while let Ok(Some(envelope)) = envelopes.message().await {
                let Some((id, change)) = decode(&envelope) else { continue };
                if change == Change::Exited {
                    // On its own task: agreement takes a moment, and other containers' events should not wait.
                    tokio::spawn(confirm(runtime.clone(), id, sender.clone()));
                } else if sender.send(Event::Changed { id, change }).await.is_err() {
                    return;
                }
            }
        }
        if sender.is_closed() {
            return;
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Subscribes, and returns when containerd has us on its list: what happens later is not missed.
async fn subscribe(runtime: &Containerd) -> Result<Streaming<Envelope>, Status> {
    let filters = TOPICS.map(|topic| format!("namespace=={NAMESPACE},topic==\"{topic}\"")).to_vec();
    let mut client = EventsClient::new(runtime.channel.clone());
    let mut publisher = client.clone();
    // containerd answers a subscription with its first event, not before: so we publish one until it does.
    let knock = async {
        loop {
            let request = PublishRequest { topic: SUBSCRIBED.to_owned(), event: Some(to_any(&TaskStart::default())) };
            publisher.publish(with_namespace!(request, NAMESPACE)).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = client.subscribe(SubscribeRequest { filters }) => Ok(answer?.into_inner()),
        error = knock => error,
    }
}

/// What an envelope says of a container, and nothing for the processes of exec.
fn decode(envelope: &Envelope) -> Option<(String, Change)> {
    let value = envelope.event.as_ref()?.value.as_slice();
    match envelope.topic.as_str() {
        "/tasks/start" => Some((TaskStart::decode(value).ok()?.container_id, Change::Started)),
        "/tasks/oom" => Some((TaskOom::decode(value).ok()?.container_id, Change::OutOfMemory)),
        "/containers/create" => Some((ContainerCreate::decode(value).ok()?.id, Change::Created)),
        "/containers/delete" => Some((ContainerDelete::decode(value).ok()?.id, Change::Removed)),
        "/tasks/exit" => {
            let exit = TaskExit::decode(value).ok()?;
            (exit.id == exit.container_id).then_some((exit.container_id, Change::Exited))
        }
        "/tasks/delete" => {
            let delete = TaskDelete::decode(value).ok()?;
            (delete.id.is_empty() || delete.id == delete.container_id).then_some((delete.container_id, Change::Exited))
        }
        _ => None,
    }
}

/// Waits until CRI no longer calls the container running, and then tells of its exit.
async fn confirm(runtime: Containerd, id: String, sender: mpsc::Sender<Event>) {
    let agreed = async {
        let mut pause = Duration::from_millis(1);
        while runs(&runtime, &id).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    // After that time the hint goes out all the same; the reader's own listing settles it later.
    tokio::time::timeout(AGREEMENT, agreed).await.ok();
    sender.send(Event::Changed { id, change: Change::Exited }).await.ok();
}

async fn runs(runtime: &Containerd, id: &str) -> bool {
    match runtime.container_status(id).await {
        Ok(status) => status.state() == v1::ContainerState::ContainerRunning,
        Err(error) if error.is_not_found() => match runtime.pod_sandbox_status(id).await {
            Ok(status) => status.state() == v1::PodSandboxState::SandboxReady,
            Err(_) => false,
        },
        Err(_) => false,
    }
}
