//! Names that live as long as the process.
//!
//! Built-in kinds name themselves with literals; the names of custom kinds are interned, so that both are the same to those
//! who serve them. A text is kept once, and for good: what definitions may bring in the life of a process is bounded.

use std::{collections::HashSet, sync::LazyLock};

use parking_lot::Mutex;

/// Bytes of all interned texts together: some hundred thousand names.
const LIMIT: usize = 16 << 20;

/// There is no room for more names until the process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server has seen too many different names of custom resources")]
pub struct Full;

#[derive(Default)]
struct Interned {
    texts: HashSet<&'static str>,
    lists: HashSet<&'static [&'static str]>,
    bytes: usize,
}

static INTERNED: LazyLock<Mutex<Interned>> = LazyLock::new(Mutex::default);

/// The one copy of a text.
///
/// # Errors
/// When the limit is reached.
pub fn text(text: &str) -> Result<&'static str, Full> {
    INTERNED.lock().text(text)
}

/// The one copy of a list of texts, as of short names or the members of a path.
///
/// # Errors
/// When the limit is reached.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<&'static [&'static str], Full> {
    let mut interned = INTERNED.lock();
    let list = texts.into_iter().map(|text| interned.text(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(known) = interned.lists.get(list.as_slice()) {
        return Ok(known);
    }
    interned.charge(size_of_val(list.as_slice()))?;
    let kept: &'static [&'static str] = list.leak();
    interned.lists.insert(kept);
    Ok(kept)
}

impl Interned {
    fn text(&mut self, text: &str) -> Result<&'static str, Full> {
        if let Some(known) = self.texts.get(text) {
            return Ok(known);
        }
        self.charge(text.len())?;
        let kept: &'static str = text.to_owned().leak();
        self.texts.insert(kept);
        Ok(kept)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Full> {
        if self.bytes + bytes > LIMIT {
            return Err(Full);
        }
        self.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_once() {
        let first = text(&String::from("crontabs")).unwrap();
        assert_eq!(first.as_ptr(), text("crontabs").unwrap().as_ptr());
        let both = list(["ct", "crontabs"]).unwrap();
        assert_eq!((both, both[1].as_ptr()), (&["ct", "crontabs"][..], first.as_ptr()));
        assert_eq!(both.as_ptr(), list(["ct", "crontabs"]).unwrap().as_ptr());
    }

    #[test]
    fn bounded() {
        let mut interned = Interned { bytes: LIMIT, ..Interned::default() };
        assert_eq!(interned.text("x"), Err(Full));
        assert_eq!(interned.text(""), Ok(""));
    }
}
