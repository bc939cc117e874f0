//! A row of commands and what they show.
//!
//! A line that begins with `$ ` is typed; the lines up to the next one are its output, standard output and error as they
//! come, and `[exit N]` if it is not 0. Lines that begin with `## ` are remarks.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, bail};
use e2e::shell::Shell;

/// No command takes that long, sixty kubectls in a row on a busy machine included.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Remark(String),
    Command { line: String, output: String },
}

impl Transcript {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("$ ") {
                parts.push(Part::Command { line: typed.to_owned(), output: String::new() });
            } else if line.starts_with("## ") {
                parts.push(Part::Remark(line.to_owned()));
            } else if let Some(Part::Command { output, .. }) = parts.last_mut() {
                output.push_str(line);
                output.push('\n');
            }
        }
        for part in &mut parts {
            if let Part::Command { output, .. } = part {
                output.truncate(output.trim_end_matches('\n').len());
            }
        }
        Self(parts)
    }

    pub fn len(&self) -> usize {
        self.0.iter().filter(|part| matches!(part, Part::Command { .. })).count()
    }

    /// Types every command.
    pub fn run(&self, shell: &Shell) -> anyhow::Result<Self> {
        let run = |part: &Part| match part {
            Part::Remark(_) => Ok(part.clone()),
            Part::Command { line, .. } => {
                let done = shell.run(&format!("{{ {line}\n}} 2>&1"), LIMIT)?;
                let mut output = settled(&done.stdout);
                if done.code != 0 {
                    output.push_str(&format!("\n[exit {}]", done.code));
                }
                Ok(Part::Command { line: line.clone(), output: output.trim_matches('\n').to_owned() })
            }
        };
        Ok(Self(self.0.iter().map(run).collect::<anyhow::Result<_>>()?))
    }

    /// An error that shows the first commands whose output differs.
    pub fn compare(&self, seen: &Self) -> anyhow::Result<()> {
        const SHOWN: usize = 5;
        let mut differences = Vec::new();
        for (expected, seen) in self.0.iter().zip(&seen.0) {
            if let (Part::Command { line, output }, Part::Command { output: now, .. }) = (expected, seen)
                && output != now
            {
                differences.push(format!("$ {line}\n--- expected\n{output}\n--- seen\n{now}\n"));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let count = differences.len();
        differences.truncate(SHOWN);
        bail!("{count} commands differ:\n{}", differences.join("\n"))
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Remark(remark) => text.push_str(&format!("{remark}\n\n")),
                Part::Command { line, output } if output.is_empty() => text.push_str(&format!("$ {line}\n\n")),
                Part::Command { line, output } => text.push_str(&format!("$ {line}\n{output}\n\n")),
            }
        }
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text.trim_end_matches('\n').to_owned() + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Output without what differs from run to run: uids, resource versions, and ages by kubectl's own clock.
fn settled(output: &str) -> String {
    output.lines().map(|line| settled_line(line.trim_end())).collect::<Vec<_>>().join("\n")
}

fn settled_line(line: &str) -> String {
    const HIDDEN: [(&str, char); 8] = [
        ("resourceVersion: \"", '"'),
        ("\"resourceVersion\": \"", '"'),
        ("\"resourceVersion\":\"", '"'),
        ("uid: ", '\n'),
        ("\"uid\": \"", '"'),
        ("\"uid\":\"", '"'),
        ("Age: ", '\n'),
        ("Resource Version: ", '\n'),
    ];
    let mut line = line.to_owned();
    for (lead, end) in HIDDEN {
        let mut from = 0;
        while let Some(at) = line[from..].find(lead) {
            let start = from + at + lead.len();
            let length = line[start..].find(end).unwrap_or(line.len() - start);
            line.replace_range(start..start + length, "…");
            from = start;
        }
    }
    without_uids(line)
}

/// Hides the uids that stand anywhere else.
fn without_uids(mut line: String) -> String {
    const LENGTH: usize = 36;
    let is_uid = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    while let Some(at) = line.as_bytes().windows(LENGTH).position(is_uid) {
        line.replace_range(at..at + LENGTH, "…");
    }
    line
}
