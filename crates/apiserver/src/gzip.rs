//! gzip in pieces that do not lean on each other: an answer under way holds twelve bytes instead of a compressor's
//! window, so a thousand at once cost no more memory than one.

use std::{cell::RefCell, io};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// An empty last block.
const LAST_BLOCK: [u8; 2] = [3, 0];

thread_local! {
    /// Upstream's level.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// One answer, compressed.
#[derive(Default)]
pub struct Gzip {
    crc: Crc,
    begun: bool,
}

impl Gzip {
    /// The next bytes of the answer, whole to the last bit.
    ///
    /// # Errors
    /// When the compressor does not go on, which it has no reason for.
    pub fn piece(&mut self, text: &[u8]) -> io::Result<Bytes> {
        self.crc.update(text);
        let mut out = Vec::with_capacity(HEADER.len() + text.len() / 4 + 64);
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEADER);
        }
        DEFLATE.with_borrow_mut(|deflate| {
            deflate.reset();
            loop {
                let read = deflate.total_in() as usize;
                deflate.compress_vec(&text[read..], &mut out, FlushCompress::Full)?;
                if deflate.total_in() as usize == text.len() && out.len() < out.capacity() {
                    return Ok(out.into());
                }
                out.reserve(text.len() / 4 + 64);
            }
        })
    }

    /// What follows the last piece.
    pub fn end(&self) -> Bytes {
        let mut out = Vec::with_capacity(20);
        if !self.begun {
            out.extend_from_slice(&HEADER);
        }
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&self.crc.sum().to_le_bytes());
        out.extend_from_slice(&self.crc.amount().to_le_bytes());
        out.into()
    }
}

/// A whole document.
///
/// # Errors
/// As [`Gzip::piece`].
pub fn whole(text: &[u8]) -> io::Result<Bytes> {
    let mut gzip = Gzip::default();
    let mut out = Vec::from(gzip.piece(text)?);
    out.extend_from_slice(&gzip.end());
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn any_reader_reads_it() {
        let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for pieces in [vec![], vec![&b"abc"[..]], vec![&noise[..7], &noise[7..90_000], &noise[90_000..], b"x"]] {
            let mut gzip = Gzip::default();
            let mut packed = Vec::new();
            for piece in &pieces {
                packed.extend_from_slice(&gzip.piece(piece).unwrap());
            }
            packed.extend_from_slice(&gzip.end());
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
            assert_eq!(read, pieces.concat());
        }
    }
}
