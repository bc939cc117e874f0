//! The form in which CRI runtimes write logs: `2026-01-02T03:04:05.678901234Z stdout F text`.

use jiff::Timestamp;

use super::{Options, Streams};

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: &'a [u8],
    pub stderr: bool,
    /// The container's line goes on in the next one: it was too long, or its end is not written yet.
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline. `None` for what no runtime writes.
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
        let stderr = match stream {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        Some(Line { time, stderr, partial, text: parts.next().unwrap_or_default() })
    }

    fn is_wanted(&self, options: &Options) -> bool {
        let stream = match options.streams {
            Streams::All => true,
            Streams::Stdout => !self.stderr,
            Streams::Stderr => self.stderr,
        };
        let time = || std::str::from_utf8(self.time).ok().and_then(|time| time.parse::<Timestamp>().ok());
        stream && options.since.is_none_or(|since| time().is_some_and(|time| time >= since))
    }
}

/// Turns lines of the file into what the client asked for.
pub struct Writer<'a> {
    options: &'a Options,
    left: u64,
    at_line_start: bool,
}

impl<'a> Writer<'a> {
    pub fn new(options: &'a Options) -> Writer<'a> {
        Writer { options, left: options.limit.unwrap_or(u64::MAX), at_line_start: true }
    }

    /// Appends what is wanted of a line. False once the limit is reached.
    pub fn write(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(line) = Line::parse(line).filter(|line| line.is_wanted(self.options)) else { return true };
        let from = out.len();
        if self.options.timestamps && self.at_line_start {
            out.extend_from_slice(line.time);
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.at_line_start = !line.partial;
        let wrote = (out.len() - from) as u64;
        if wrote > self.left {
            out.truncate(from + usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(wrote);
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:01.5Z stdout F one\n\
        2026-01-01T00:00:02Z stderr P tw\n\
        2026-01-01T00:00:03Z stderr F o\n\
        nonsense\n\
        2026-01-01T00:00:04Z stdout F \n\
        2026-01-01T00:00:05Z stdout F a b  c";

    fn check(options: Options, want: &str) {
        let mut out = Vec::new();
        let mut writer = Writer::new(&options);
        for line in LOG.lines() {
            if !writer.write(line.as_bytes(), &mut out) {
                break;
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), want, "{options:?}");
    }

    #[test]
    fn lines() {
        check(Options::default(), "one\ntwo\n\na b  c\n");
        check(Options { streams: Streams::Stderr, ..Options::default() }, "two\n");
        check(Options { streams: Streams::Stdout, ..Options::default() }, "one\n\na b  c\n");
        check(Options { since: Some("2026-01-01T00:00:04Z".parse().unwrap()), ..Options::default() }, "\na b  c\n");
        check(Options { limit: Some(5), ..Options::default() }, "one\nt");
        check(
            Options { timestamps: true, ..Options::default() },
            "2026-01-01T00:00:01.5Z one\n2026-01-01T00:00:02Z two\n2026-01-01T00:00:04Z \n2026-01-01T00:00:05Z a b  c\n",
        );
    }
}
