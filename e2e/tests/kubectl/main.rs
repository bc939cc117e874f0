//! What every kubectl shows, kept as transcripts: a row of commands with their output, run against a server in this process
//! on an empty store, with a clock that stands still. No controller runs, so nothing changes but by the commands.
//!
//! `cargo test -p e2e --test kubectl -- NAME` runs the transcripts whose name holds NAME. With `KOGGE_BLESS=1` what is seen
//! is written down; look at the difference before it is committed. A version of kubectl whose output is its own has
//! transcripts of its own, in a folder with its name.

mod server;
mod transcript;

use std::{fs, path::PathBuf, process::ExitCode};

use e2e::{built, clients};
use transcript::Transcript;

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bless = std::env::var_os("KOGGE_BLESS").is_some();
    let mut kubectls = clients::kubectls();
    if kubectls.is_empty() {
        println!("no kubectl from 1.27 on is on this machine: none was run");
    }
    // The newest first: the common transcripts are written down as it shows them.
    kubectls.reverse();
    let (mut passed, mut failed) = (0, 0);
    for (version, kubectl) in kubectls {
        let outcome = server::with(&kubectl, |shell| {
            for name in names(&wanted) {
                match one(&name, &version, shell, bless) {
                    Ok(commands) => {
                        passed += 1;
                        println!("test kubectl::{version}::{name} ... ok ({commands} commands)");
                    }
                    Err(why) => {
                        failed += 1;
                        println!("test kubectl::{version}::{name} ... FAILED\n{why:#}");
                    }
                }
            }
        });
        if let Err(why) = outcome {
            failed += 1;
            println!("test kubectl::{version} ... FAILED\n{why:#}");
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn folder() -> PathBuf {
    built::root().join("e2e/tests/kubectl/transcripts")
}

/// The transcripts in the order of their names, which is the order they are run in.
fn names(wanted: &str) -> Vec<String> {
    let entries = fs::read_dir(folder()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".txt")?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| name.contains(wanted)).collect();
    names.sort();
    names
}

/// Runs one transcript; answers how many commands it has.
fn one(name: &str, version: &str, shell: &e2e::shell::Shell, bless: bool) -> anyhow::Result<usize> {
    let common = folder().join(format!("{name}.txt"));
    let own = folder().join(version).join(format!("{name}.txt"));
    let expected = Transcript::read(if own.exists() && !bless { &own } else { &common })?;
    let seen = expected.run(shell)?;
    if !bless {
        expected.compare(&seen)?;
        return Ok(expected.len());
    }
    let newest = clients::kubectls().last().is_some_and(|(newest, _)| newest == version);
    if newest {
        seen.write(&common)?;
    } else if seen != Transcript::read(&common)? {
        seen.write(&own)?;
    } else if own.exists() {
        fs::remove_file(&own)?;
    }
    Ok(seen.len())
}
