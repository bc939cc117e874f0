//! Where the last lines of a file begin, found from its end.

use std::io::{Read, Result, Seek, SeekFrom};

const BLOCK: u64 = 16 << 10;

/// The offset of the last `lines` lines. A last line without its newline counts.
pub fn offset(file: &mut (impl Read + Seek), lines: u64) -> Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut at = end;
    let mut seen = 0;
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(0)];
    while at > 0 {
        let from = at.saturating_sub(BLOCK);
        let length = usize::try_from(at - from).unwrap_or(0);
        let part = &mut block[..length];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(part)?;
        for (index, byte) in part.iter().enumerate().rev() {
            let position = from + index as u64;
            // The newline at the very end closes the last line; each one before it opens another.
            if *byte == b'\n' && position + 1 != end {
                seen += 1;
                if seen == lines {
                    return Ok(position + 1);
                }
            }
        }
        at = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn offsets() {
        let check = |text: &str, lines: u64, want: &str| {
            let at = offset(&mut Cursor::new(text), lines).unwrap();
            assert_eq!(&text[usize::try_from(at).unwrap()..], want, "{text:?} {lines}");
        };
        check("a\nb\nc\n", 1, "c\n");
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc\n", 3, "a\nb\nc\n");
        check("a\nb\nc\n", 9, "a\nb\nc\n");
        check("a\nb\nc", 1, "c");
        check("a\nb\nc\n", 0, "");
        check("", 3, "");
        let long = "x".repeat(20_000) + "\n";
        let text = long.repeat(4);
        check(&text, 2, &long.repeat(2));
    }
}
