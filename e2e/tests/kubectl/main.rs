//! What every kubectl shows, kept as transcripts: a row of commands with their output, run against a server in this process
//! on an empty store, with a clock that stands still. No controller runs, so nothing changes but by the commands.
//!
//! `cargo test -p e2e --test kubectl -- NAME` runs the transcripts whose name holds NAME. With `KOGGE_BLESS=1` what is seen
//! is written down; look at the difference before it is committed. A version of kubectl whose output is its own has
//! transcripts of its own, in a folder with its name. What is about the server more than about kubectl is left to the oldest
//! and the newest.

mod server;
mod transcript;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use e2e::{built, clients};
use transcript::Transcript;

/// Versions of kubectl that run side by side, each with a server of its own.
const WORKERS: usize = 2;
/// The client that runs those transcripts alone that it shares with kubectl.
const KCTL: &str = "kctl";
const SHARED: &str = "shared";
/// What comes after this transcript is run by the oldest and the newest kubectl alone.
const LAST_OF_ALL: &str = "70-custom";

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bless = std::env::var_os("KOGGE_BLESS").is_some();
    let mut kubectls = clients::kubectls();
    if kubectls.is_empty() {
        println!("no kubectl from 1.27 on is on this machine: none was run");
    }
    let ends =
        [&kubectls.first(), &kubectls.last()].map(|end| end.map(|(version, _)| version.clone()).unwrap_or_default());
    // The newest first and alone: the common transcripts are written down as it shows them.
    let newest = kubectls.pop();
    let runs = Runs { wanted, ends, bless, tally: Mutex::default() };
    newest.iter().for_each(|kubectl| runs.all_of(kubectl));
    // kctl speaks its own words in places; where it must not, the same transcript tells.
    if let Ok(kctl) = built::binary(KCTL) {
        runs.all_of(&(KCTL.to_owned(), kctl));
    }
    let others = Mutex::new(kubectls);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(kubectl) = next(&others) {
                    runs.all_of(&kubectl);
                }
            });
        }
    });
    let (passed, failed) = *lock(&runs.tally);
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A version and the kubectl of it.
type Kubectl = (String, PathBuf);

fn next(kubectls: &Mutex<Vec<Kubectl>>) -> Option<Kubectl> {
    lock(kubectls).pop()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Runs {
    /// Part of the names of the transcripts to run.
    wanted: String,
    /// The oldest and the newest version.
    ends: [String; 2],
    bless: bool,
    /// Passed and failed.
    tally: Mutex<(usize, usize)>,
}

impl Runs {
    fn all_of(&self, (version, kubectl): &Kubectl) {
        let outcome = server::with(version, kubectl, |shell| {
            for name in names(&self.wanted).iter().filter(|name| self.runs(version, name)) {
                self.count(&format!("{version}::{name}"), one(name, version, shell, self.bless));
            }
        });
        if outcome.is_err() {
            self.count(version, outcome.map(|()| 0));
        }
    }

    fn runs(&self, version: &str, name: &str) -> bool {
        let is_shared = name.contains(SHARED);
        let is_end = self.ends.iter().any(|end| end == version);
        is_shared || version != KCTL && (is_end || name <= LAST_OF_ALL)
    }

    fn count(&self, name: &str, outcome: anyhow::Result<usize>) {
        let mut tally = lock(&self.tally);
        match outcome {
            Ok(commands) => {
                tally.0 += 1;
                println!("test kubectl::{name} ... ok ({commands} commands)");
            }
            Err(why) => {
                tally.1 += 1;
                println!("test kubectl::{name} ... FAILED\n{why:#}");
            }
        }
    }
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
