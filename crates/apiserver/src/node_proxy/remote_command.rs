//! exec and attach for clients that speak WebSockets alone: version 5 of the channel protocol on their side, SPDY and version
//! 4 towards the kubelet (KEP-4006). What version 4 cannot say over WebSockets, the end of standard input, SPDY can.

use std::io;

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt, stream::SplitSink};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::CloseFrame, protocol::frame::coding::CloseCode},
};

use super::spdy::{Frame, Reader, Writer};
use crate::query::Query;

/// The subprotocol served here.
pub const V5: &str = "v5.channel.k8s.io";
/// What the kubelet's runtime speaks.
pub const V4: &str = "v4.channel.k8s.io";

mod channel {
    pub const STDIN: u8 = 0;
    pub const STDOUT: u8 = 1;
    pub const STDERR: u8 = 2;
    pub const ERROR: u8 = 3;
    pub const RESIZE: u8 = 4;
    pub const CLOSE: u8 = 255;
}

/// Which streams a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    pub fn of(query: &Query<'_>) -> Self {
        let tty = query.flag("tty");
        // A terminal has one stream for both.
        Self { stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr") && !tty, tty }
    }
}

/// The SPDY streams by channel.
#[derive(Default)]
struct Streams {
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
    error: u32,
}

impl Streams {
    /// Opens them in the order upstream's clients use; those that only the other side writes to are closed from here.
    async fn open<W: AsyncWrite + Unpin>(wanted: Wanted, to: &mut Writer<W>) -> io::Result<Self> {
        let mut streams = Self { error: open(to, "error", true).await?, ..Self::default() };
        if wanted.stdin {
            streams.stdin = Some(open(to, "stdin", false).await?);
        }
        if wanted.stdout {
            streams.stdout = Some(open(to, "stdout", true).await?);
        }
        if wanted.stderr {
            streams.stderr = Some(open(to, "stderr", true).await?);
        }
        if wanted.tty {
            streams.resize = Some(open(to, "resize", false).await?);
        }
        Ok(streams)
    }

    fn channel(&self, stream: u32) -> Option<u8> {
        let by_channel =
            [(self.stdout, channel::STDOUT), (self.stderr, channel::STDERR), (Some(self.error), channel::ERROR)];
        by_channel.iter().find(|(known, _)| *known == Some(stream)).map(|(_, channel)| *channel)
    }
}

async fn open<W: AsyncWrite + Unpin>(to: &mut Writer<W>, kind: &str, closed: bool) -> io::Result<u32> {
    let stream = to.open(&[("streamtype", kind)]).await?;
    if closed {
        to.data(stream, &[], true).await?;
    }
    Ok(stream)
}

/// Carries everything between the two until one of them is done.
pub async fn translate<C, K>(client: WebSocketStream<C>, kubelet: K, wanted: Wanted) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    K: AsyncRead + AsyncWrite,
{
    let (from, to): (ReadHalf<K>, WriteHalf<K>) = tokio::io::split(kubelet);
    let mut to = Writer::new(to);
    let streams = Streams::open(wanted, &mut to).await?;
    let to = Mutex::new(to);
    let (mut answers, messages) = client.split();
    let ended = {
        tokio::select! {
            ended = backward(Reader(from), &to, &streams, &mut answers) => Some(ended),
            ended = forward(messages, &to, &streams) => {
                ended?;
                None
            }
        }
    };
    // Who went away is not told anything more.
    let Some(ended) = ended else { return Ok(()) };
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    // The client may have gone in the same moment.
    answers.send(Message::Close(Some(close))).await.ok();
    ended
}

/// From the client to the kubelet, until the client goes.
async fn forward<M, W>(mut messages: M, to: &Mutex<Writer<W>>, streams: &Streams) -> io::Result<()>
where
    M: Stream<Item = Result<Message, Error>> + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = messages.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Ok(()),
            _ => continue,
        };
        let Some((channel, data)) = bytes.split_first() else { continue };
        let mut to = to.lock().await;
        match (*channel, data, streams.stdin, streams.resize) {
            (channel::STDIN, data, Some(stdin), _) => to.data(stdin, data, false).await?,
            (channel::CLOSE, [channel::STDIN], Some(stdin), _) => to.data(stdin, &[], true).await?,
            (channel::RESIZE, data, _, Some(resize)) => to.data(resize, data, false).await?,
            _ => {}
        }
    }
    Ok(())
}

/// From the kubelet to the client, until the kubelet is done.
async fn backward<R, W, C>(
    mut from: Reader<R>,
    to: &Mutex<Writer<W>>,
    streams: &Streams,
    answers: &mut SplitSink<WebSocketStream<C>, Message>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    C: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(frame) = from.next().await? {
        match frame {
            Frame::Data { stream, data, last } => {
                if let Some(channel) = streams.channel(stream).filter(|_| !data.is_empty()) {
                    send(answers, channel, &data).await?;
                }
                // The outcome comes after everything else.
                if last && stream == streams.error {
                    return Ok(());
                }
            }
            Frame::Ping { id } => to.lock().await.ping(id).await?,
            Frame::Goaway => return Ok(()),
            Frame::Reset { stream } if stream == streams.error => return Ok(()),
            Frame::Reset { .. } => {}
        }
    }
    Ok(())
}

async fn send(answers: &mut (impl Sink<Message, Error = Error> + Unpin), channel: u8, data: &[u8]) -> io::Result<()> {
    let message = Bytes::from([&[channel], data].concat());
    answers.send(Message::Binary(message)).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// `echo hello | kubectl exec -i POD -- cat`: the end of standard input arrives, and so does the outcome.
    #[tokio::test]
    async fn input_ends_and_the_outcome_arrives() {
        let (near, far) = duplex(1 << 16);
        let (backend, kubelet) = duplex(1 << 16);
        let wanted = Wanted::of(&Query::parse("stdin=true&stdout=true&stderr=true&command=cat"));
        let server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        let translated = tokio::spawn(translate(server, backend, wanted));
        let cat = tokio::spawn(async move {
            // Streams are numbered in the order they are opened: error, stdin, stdout, stderr.
            let mut input = Vec::new();
            let (from, to) = tokio::io::split(kubelet);
            let mut from = Reader(from);
            loop {
                match from.next().await.unwrap().expect("the end of standard input") {
                    Frame::Data { stream: 3, data, last } => {
                        input.extend_from_slice(&data);
                        if last {
                            break;
                        }
                    }
                    Frame::Data { data, last, .. } => assert!(data.is_empty() && last),
                    other => panic!("{other:?}"),
                }
            }
            let mut to = Writer::new(to);
            to.ping(9).await.unwrap();
            to.data(5, &input, true).await.unwrap();
            to.data(1, br#"{"status":"Success"}"#, true).await.unwrap();
            from.next().await.unwrap()
        });
        let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        for message in [&b"\0hello"[..], &[channel::CLOSE, channel::STDIN]] {
            client.send(Message::Binary(Bytes::copy_from_slice(message))).await.unwrap();
        }
        let mut said = Vec::new();
        while let Some(Ok(Message::Binary(bytes))) = client.next().await {
            said.push(bytes);
        }
        assert_eq!(said, [&b"\x01hello"[..], b"\x03{\"status\":\"Success\"}"]);
        translated.await.unwrap().unwrap();
        assert_eq!(cat.await.unwrap(), Some(Frame::Ping { id: 9 }));
    }

    #[test]
    fn a_terminal_has_one_output() {
        let check = |query: &str, expected: Wanted| assert_eq!(Wanted::of(&Query::parse(query)), expected, "{query}");
        let out = Wanted { stdout: true, ..Wanted::default() };
        check("stdout=true", out);
        check("stdout=1&stderr=1", Wanted { stderr: true, ..out });
        check("stdout=true&stderr=true&tty=true", Wanted { tty: true, ..out });
    }
}
