//! A list of scenarios over one thing that is dear to set up, run in order and reported in the form of a test runner.

use std::{process::ExitCode, time::Instant};

type Steps<T> = Box<dyn Fn(&T) -> anyhow::Result<()>>;

/// A name and what it does; the name is what a filter on the command line matches.
pub struct Scenario<T> {
    pub name: String,
    pub run: Steps<T>,
}

impl<T> Scenario<T> {
    pub fn new(name: impl Into<String>, run: impl Fn(&T) -> anyhow::Result<()> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Runs those that match the arguments; the closing line counts them.
pub fn run_all<T>(on: &T, scenarios: Vec<Scenario<T>>) -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, vec![]);
    for scenario in scenarios {
        if !filters.is_empty() && !filters.iter().any(|f| scenario.name.contains(f.as_str())) {
            continue;
        }
        let start = Instant::now();
        match (scenario.run)(on) {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok ({:.1} s)", scenario.name, start.elapsed().as_secs_f64());
            }
            Err(error) => {
                println!("test {} ... FAILED ({:.1} s)\n{error:#}", scenario.name, start.elapsed().as_secs_f64());
                failed.push(scenario.name);
            }
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
