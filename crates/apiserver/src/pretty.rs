//! JSON text indented as it streams by, two spaces a level as upstream, without being read into values.

use bytes::{BufMut, BytesMut};

const SPACES: &[u8; 64] = &[b' '; 64];

/// Where in a document the text written so far ended.
#[derive(Debug, Default)]
pub struct Indenter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Right behind an opening bracket: what is empty stays on one line.
    opened: bool,
}

impl Indenter {
    /// Writes the next piece of a valid document; it may end anywhere.
    pub fn write(&mut self, text: &[u8], out: &mut BytesMut) {
        let mut rest = text;
        while let Some(&byte) = rest.first() {
            if self.in_string {
                let end = rest.iter().position(|byte| self.ends_string(*byte)).map_or(rest.len(), |at| at + 1);
                out.put_slice(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            self.outside(byte, out);
            rest = &rest[1..];
        }
    }

    fn ends_string(&mut self, byte: u8) -> bool {
        if std::mem::take(&mut self.escaped) {
            return false;
        }
        match byte {
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        !self.in_string
    }

    fn outside(&mut self, byte: u8, out: &mut BytesMut) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if !std::mem::take(&mut self.opened) {
                    self.new_line(out);
                }
                out.put_u8(byte);
                return;
            }
            _ => {}
        }
        if std::mem::take(&mut self.opened) {
            self.new_line(out);
        }
        out.put_u8(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b',' => self.new_line(out),
            b':' => out.put_u8(b' '),
            b'"' => self.in_string = true,
            _ => {}
        }
    }

    fn new_line(&self, out: &mut BytesMut) {
        out.put_u8(b'\n');
        let mut spaces = 2 * self.depth;
        while spaces > 0 {
            let some = spaces.min(SPACES.len());
            out.put_slice(&SPACES[..some]);
            spaces -= some;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_encoder_would_wherever_it_is_cut() {
        for text in [
            r#"{}"#,
            r#"[]"#,
            r#""a""#,
            r#"{"a":[],"b":{},"c":[1,-2.5,true,null],"d":{"e":"x,{}[]:\"\\","f":"\\"}}"#,
            r#"[[[]],[{}],{"ä":"ä ü"}]"#,
        ] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let expected = serde_json::to_string_pretty(&value).unwrap();
            for cut in 0..=text.len() {
                let (mut indenter, mut out) = (Indenter::default(), BytesMut::new());
                indenter.write(&text.as_bytes()[..cut], &mut out);
                indenter.write(&text.as_bytes()[cut..], &mut out);
                assert_eq!(String::from_utf8_lossy(&out), expected, "cut at {cut}");
            }
        }
    }
}
