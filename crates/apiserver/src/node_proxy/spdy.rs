//! As much of SPDY/3.1 as a client needs that opens a few streams, sends on them and reads what comes back: frames, no flow
//! control, which the streaming servers of container runtimes do not use either.
//!
//! Header blocks are zlib streams. Ours hold stored blocks alone, so that nothing has to be compressed and SPDY's dictionary
//! is not needed; those of the peer hold nothing that matters here and are skipped.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Larger frames are refused; runtimes send at most 32 KB at once.
const LARGEST_FRAME: usize = 1 << 20;
const VERSION: u16 = 3;
const FIN: u8 = 1;

mod kind {
    pub const SYN_STREAM: u16 = 1;
    pub const RST_STREAM: u16 = 3;
    pub const PING: u16 = 6;
    pub const GOAWAY: u16 = 7;
}

/// What the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Data {
        stream: u32,
        data: Bytes,
        /// Nothing more comes on this stream.
        last: bool,
    },
    /// The stream was broken off.
    Reset { stream: u32 },
    /// To be sent back as it is.
    Ping { id: u32 },
    /// The peer goes.
    Goaway,
}

pub struct Reader<R>(pub R);

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next frame that matters; `None` when the peer closed the connection.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let mut head = [0; 8];
            match self.0.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let [.., b5, b6, b7] = head;
            let length = u32::from_be_bytes([0, b5, b6, b7]) as usize;
            if length > LARGEST_FRAME {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
            }
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await?;
            if let Some(frame) = parse(head, payload.into()) {
                return Ok(Some(frame));
            }
        }
    }
}

/// `None` for frames that need no answer.
fn parse(head: [u8; 8], payload: Bytes) -> Option<Frame> {
    let [b0, b1, b2, b3, flags, ..] = head;
    let first = u32::from_be_bytes([b0, b1, b2, b3]);
    if first >> 31 == 0 {
        return Some(Frame::Data { stream: first, data: payload, last: flags & FIN != 0 });
    }
    let number = || Some(u32::from_be_bytes(*payload.first_chunk::<4>()?));
    match first as u16 {
        kind::RST_STREAM => Some(Frame::Reset { stream: number()? }),
        kind::PING => Some(Frame::Ping { id: number()? }),
        kind::GOAWAY => Some(Frame::Goaway),
        _ => None,
    }
}

pub struct Writer<W> {
    to: W,
    next_stream: u32,
    /// The zlib stream of header blocks has begun.
    has_begun: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub fn new(to: W) -> Self {
        Self { to, next_stream: 1, has_begun: false }
    }

    /// Opens a stream; answers its number.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = self.header_block(headers);
        let mut payload = BytesMut::with_capacity(10 + block.len());
        payload.put_u32(stream);
        payload.put_u32(0);
        payload.put_u16(0);
        payload.put_slice(&block);
        self.control(kind::SYN_STREAM, 0, &payload).await?;
        Ok(stream)
    }

    /// Sends `data`; with `last`, nothing more after it.
    pub async fn data(&mut self, stream: u32, data: &[u8], last: bool) -> io::Result<()> {
        let mut frame = BytesMut::with_capacity(8 + data.len());
        frame.put_u32(stream);
        put_flags_and_length(if last { FIN } else { 0 }, data.len(), &mut frame);
        frame.put_slice(data);
        self.to.write_all(&frame).await?;
        self.to.flush().await
    }

    pub async fn ping(&mut self, id: u32) -> io::Result<()> {
        self.control(kind::PING, 0, &id.to_be_bytes()).await
    }

    async fn control(&mut self, kind: u16, flags: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = BytesMut::with_capacity(8 + payload.len());
        frame.put_u16(0x8000 | VERSION);
        frame.put_u16(kind);
        put_flags_and_length(flags, payload.len(), &mut frame);
        frame.put_slice(payload);
        self.to.write_all(&frame).await?;
        self.to.flush().await
    }

    /// One stored block, and an empty one that makes the reader hand it over.
    fn header_block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_u32(headers.len() as u32);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 12);
        if !std::mem::replace(&mut self.has_begun, true) {
            block.put_slice(&[0x78, 0x01]);
        }
        for stored in [&plain[..], &[]] {
            let length = stored.len() as u16;
            block.put_u8(0);
            block.put_u16_le(length);
            block.put_u16_le(!length);
            block.put_slice(stored);
        }
        block
    }
}

fn put_flags_and_length(flags: u8, length: usize, frame: &mut BytesMut) {
    frame.put_u32(u32::from(flags) << 24 | (length as u32 & 0x00ff_ffff));
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[tokio::test]
    async fn streams_are_opened_in_one_zlib_stream() {
        let mut sent = Vec::new();
        let mut writer = Writer::new(&mut sent);
        assert_eq!(writer.open(&[("streamtype", "error")]).await.unwrap(), 1);
        assert_eq!(writer.open(&[("streamtype", "stdin")]).await.unwrap(), 3);
        let first_length = u32::from_be_bytes([0, sent[5], sent[6], sent[7]]) as usize;
        let (first, second) = sent.split_at(8 + first_length);
        assert_eq!(&first[..4], [0x80, 3, 0, 1]);
        assert_eq!(&second[8..12], [0, 0, 0, 3]);
        let blocks = [&first[18..], &second[18..]].concat();
        let mut plain = [0; 2 * (4 + 4 + 10 + 4 + 5)];
        ZlibDecoder::new(&blocks[..]).read_exact(&mut plain).unwrap();
        assert_eq!(&plain[..4], [0, 0, 0, 1]);
        assert!(plain[..27].ends_with(b"error") && plain.ends_with(b"stdin"));
    }

    #[tokio::test]
    async fn frames_are_read() {
        let mut sent = Vec::new();
        let mut writer = Writer::new(&mut sent);
        writer.data(5, b"hello", true).await.unwrap();
        writer.ping(7).await.unwrap();
        writer.open(&[]).await.unwrap();
        let mut reader = Reader(&sent[..]);
        let data = Frame::Data { stream: 5, data: Bytes::from_static(b"hello"), last: true };
        assert_eq!(reader.next().await.unwrap(), Some(data));
        assert_eq!(reader.next().await.unwrap(), Some(Frame::Ping { id: 7 }));
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn frames_without_end_are_refused() {
        let head = [0, 0, 0, 1, 0, 0xff, 0xff, 0xff];
        assert!(Reader(&head[..]).next().await.is_err());
    }
}
