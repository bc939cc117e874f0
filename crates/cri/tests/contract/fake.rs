//! The fake under the suite, with containers that do what the real images' commands would.

use std::net::Ipv4Addr;
use std::time::Duration;

use cri::ExecOutput;
use cri::fake::{Fake, Life};

use crate::suite::{self, EXIT_3, IGNORES_TERM, Lab, OBEYS_TERM};

#[tokio::test(start_paused = true)]
async fn the_fake_keeps_the_contract() {
    let start = tokio::time::Instant::now();
    let epoch = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let fake = Fake::new(Ipv4Addr::new(10, 244, 0, 1), move || {
        epoch + jiff::SignedDuration::try_from(start.elapsed()).unwrap()
    });
    fake.add_image("busybox");
    fake.on_start(|config| match config.command.last().map(String::as_str) {
        Some(EXIT_3) => Life { ends: Some((Duration::from_millis(10), 3)), ..Life::default() },
        Some(OBEYS_TERM) => Life { on_term: Some((Duration::ZERO, 5)), ..Life::default() },
        Some(IGNORES_TERM) => Life { on_term: None, ..Life::default() },
        _ => Life::default(),
    });
    fake.on_exec(|_, command| match command.last().map(String::as_str) {
        Some("echo out; echo err >&2; exit 4") => {
            ExecOutput { stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec(), exit_code: 4 }
        }
        _ => ExecOutput::default(),
    });
    let logs = std::env::temp_dir();
    suite::run(&Lab { runtime: &fake, logs, cgroup_parent: String::new() }).await;
}
