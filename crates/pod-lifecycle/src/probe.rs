//! What a run of probe results means: thresholds, initial delay, and what is held back until a
//! container has started. Doing the probe is the kubelet's.

use crate::core::{Container, Probe};
use jiff::Timestamp;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    /// As events say it: `Readiness probe failed: …`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// The thresholds and times of one probe, zero values replaced by upstream's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub successes: u32,
    pub failures: u32,
}

impl Timing {
    pub fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default);
            Duration::from_secs(value)
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        }
    }

    /// How long after `now` the first probe of a container started at `started` is due.
    pub fn first_in(&self, started: Timestamp, now: Timestamp) -> Duration {
        let running = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        self.initial_delay.saturating_sub(running)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
}

/// The counting state of one probe of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    timing: Timing,
    last: Option<Outcome>,
    run: u32,
    verdict: Option<Outcome>,
}

impl Counter {
    pub fn new(timing: Timing) -> Self {
        Self { timing, last: None, run: 0, verdict: None }
    }

    /// Takes a result; the new verdict, if it changed.
    pub fn record(&mut self, outcome: Outcome) -> Option<Outcome> {
        self.run = if self.last == Some(outcome) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        let needed = match outcome {
            Outcome::Success => self.timing.successes,
            Outcome::Failure => self.timing.failures,
        };
        if self.run < needed || self.verdict == Some(outcome) {
            return None;
        }
        self.verdict = Some(outcome);
        Some(outcome)
    }
}

/// What all probes of one container say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    startup: Option<Outcome>,
    liveness: Option<Outcome>,
    readiness: Option<Outcome>,
    has_startup: bool,
    has_readiness: bool,
}

impl Health {
    pub fn of(container: &Container) -> Self {
        Self {
            startup: None,
            liveness: None,
            readiness: None,
            has_startup: container.startup_probe.is_some(),
            has_readiness: container.readiness_probe.is_some(),
        }
    }

    /// A container found running after a restart of the kubelet keeps what the API says of it until
    /// its probes have spoken.
    pub fn adopt(&mut self, started: bool, ready: bool) {
        if self.has_startup && started {
            self.startup = Some(Outcome::Success);
        }
        if self.has_readiness && ready {
            self.readiness = Some(Outcome::Success);
        }
    }

    pub fn record(&mut self, kind: Kind, verdict: Outcome) {
        *match kind {
            Kind::Startup => &mut self.startup,
            Kind::Liveness => &mut self.liveness,
            Kind::Readiness => &mut self.readiness,
        } = Some(verdict);
    }

    /// Which probes run now: until the startup probe has succeeded, that one alone.
    pub fn runs(&self, kind: Kind) -> bool {
        match kind {
            Kind::Startup => self.has_startup && self.startup != Some(Outcome::Success),
            Kind::Liveness | Kind::Readiness => self.started(),
        }
    }

    pub fn started(&self) -> bool {
        !self.has_startup || self.startup == Some(Outcome::Success)
    }

    pub fn ready(&self) -> bool {
        self.started() && (!self.has_readiness || self.readiness == Some(Outcome::Success))
    }

    pub fn failed(&self) -> Option<crate::actions::Failed> {
        if self.startup == Some(Outcome::Failure) {
            return Some(crate::actions::Failed::Startup);
        }
        (self.liveness == Some(Outcome::Failure)).then_some(crate::actions::Failed::Liveness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(successes: i32, failures: i32) -> Counter {
        let probe = Probe { success_threshold: Some(successes), failure_threshold: Some(failures), ..Probe::default() };
        Counter::new(Timing::of(&probe))
    }

    /// `s`/`f` are results; the answer marks each verdict with a capital letter.
    fn check(successes: i32, failures: i32, results: &str, want: &str) {
        let mut counter = counter(successes, failures);
        let got: String = results
            .chars()
            .map(|c| match counter.record(if c == 's' { Outcome::Success } else { Outcome::Failure }) {
                Some(_) => c.to_ascii_uppercase(),
                None => c,
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn thresholds_count_runs() {
        check(1, 3, "sffsfff", "SffsffF");
        check(2, 1, "ssfss", "sSFsS");
        check(1, 3, "fff", "ffF");
        check(1, 1, "sfsf", "SFSF");
    }

    #[test]
    fn startup_holds_the_others() {
        let mut container = Container {
            startup_probe: Some(Probe::default()),
            readiness_probe: Some(Probe::default()),
            ..Container::default()
        };
        let mut health = Health::of(&container);
        assert!(health.runs(Kind::Startup) && !health.runs(Kind::Readiness) && !health.ready());
        health.record(Kind::Startup, Outcome::Success);
        assert!(!health.runs(Kind::Startup) && health.runs(Kind::Readiness) && !health.ready());
        health.record(Kind::Readiness, Outcome::Success);
        assert!(health.ready());
        container.startup_probe = None;
        container.readiness_probe = None;
        assert!(Health::of(&container).ready(), "without probes a running container is ready");
    }

    #[test]
    fn the_first_probe_is_due_after_the_initial_delay() {
        let timing = Timing::of(&Probe { initial_delay_seconds: Some(5), ..Probe::default() });
        let at = |s| Timestamp::from_second(s).unwrap();
        assert_eq!(timing.first_in(at(10), at(12)), Duration::from_secs(3));
        assert_eq!(timing.first_in(at(10), at(60)), Duration::ZERO);
    }
}
