//! Just enough of tar to walk an image archive: names, sizes and where each member's bytes lie.

use std::collections::BTreeMap;
use std::io::SeekFrom;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

const BLOCK: u64 = 512;

/// The regular files of an archive: name → (offset, length).
pub(super) type Members = BTreeMap<String, (u64, u64)>;

/// Lists an archive's regular files. Reads headers only, never the contents.
pub(super) async fn members(file: &mut File) -> std::io::Result<Members> {
    let mut members = Members::new();
    let mut long_name = None;
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at)).await?;
        let mut header = [0u8; BLOCK as usize];
        match file.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(members),
            Err(error) => return Err(error),
        }
        if header.iter().all(|byte| *byte == 0) {
            return Ok(members);
        }
        if header[257..262] != *b"ustar" {
            return Err(invalid("not a tar archive"));
        }
        let size = octal(&header[124..136]).ok_or_else(|| invalid("a member's size is not a number"))?;
        let body = at + BLOCK;
        match header[156] {
            b'L' => {
                let mut name = vec![0; usize::try_from(size.min(4096)).unwrap_or(4096)];
                file.read_exact(&mut name).await?;
                long_name = Some(text(&name));
            }
            kind => {
                let name = long_name.take().unwrap_or_else(|| name(&header));
                if matches!(kind, b'0' | 0) {
                    members.insert(name.trim_start_matches("./").to_owned(), (body, size));
                }
            }
        }
        at = body + size.div_ceil(BLOCK) * BLOCK;
    }
}

fn name(header: &[u8; BLOCK as usize]) -> String {
    match text(&header[345..500]) {
        prefix if prefix.is_empty() => text(&header[..100]),
        prefix => format!("{prefix}/{}", text(&header[..100])),
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    // GNU's form for sizes of 8 GiB and more: the top bit set, then a big-endian number.
    if field[0] & 0x80 != 0 {
        return Some(field[1..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    u64::from_str_radix(text(field).trim(), 8).ok()
}

fn invalid(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}
