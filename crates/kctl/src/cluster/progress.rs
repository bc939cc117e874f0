//! The progress of a command: spinners on a terminal, one line for each finished step elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cluster::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(80);

pub struct Display {
    terminal: Option<MultiProgress>,
    spinners: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Display {
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { terminal, spinners: Mutex::default() }
    }

    /// Leaves the finished steps on the screen, and nothing that moves.
    pub fn finish(&self) {
        let mut spinners = self.spinners.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, spinner) in std::mem::take(&mut *spinners) {
            spinner.finish_and_clear();
        }
    }

    fn line(&self, text: String) {
        match &self.terminal {
            Some(terminal) => drop(terminal.println(text)),
            None => eprintln!("{text}"),
        }
    }
}

impl Progress for Display {
    fn begin(&self, step: &str) {
        let Some(terminal) = &self.terminal else { return };
        let style =
            ProgressStyle::with_template("{spinner:.cyan} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let spinner = terminal.add(ProgressBar::new_spinner().with_style(style).with_message(step.to_owned()));
        spinner.enable_steady_tick(TICK);
        self.spinners.lock().unwrap_or_else(PoisonError::into_inner).insert(step.to_owned(), spinner);
    }

    fn end(&self, step: &str, took: Duration, detail: &str) {
        if let Some(spinner) = self.spinners.lock().unwrap_or_else(PoisonError::into_inner).remove(step) {
            spinner.finish_and_clear();
        }
        let mark = if self.terminal.is_some() { "\u{1b}[32m✓\u{1b}[0m" } else { "✓" };
        self.line(format!("{mark} {step:<34} {:>6.2} s  {detail}", took.as_secs_f64()));
    }

    fn note(&self, text: &str) {
        self.line(text.to_owned());
    }
}
