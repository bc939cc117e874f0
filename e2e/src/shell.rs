//! Commands as a person types them in the project's folder, with a bound on their time.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::built;

/// What a command did.
#[derive(Clone, Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The project's folder, with variables.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    variables: Vec<(String, String)>,
}

impl Shell {
    pub fn with(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.variables.push((name.to_owned(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    /// Runs a line with `sh -c`; after `limit` it and everything it started is killed and that is an error.
    pub fn run(&self, line: &str, limit: Duration) -> anyhow::Result<Output> {
        let mut command = Command::new("setsid");
        command.args(["--wait", "sh", "-c", line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir(built::root()).envs(self.variables.iter().map(|(k, v)| (k, v)));
        let mut child = command.spawn().context("cannot run sh")?;
        let collect = |stream: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = vec![];
                // A broken pipe only means that there is no more to read.
                if let Some(mut stream) = stream {
                    stream.read_to_end(&mut bytes).ok();
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = collect(child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
        let stderr = collect(child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                // setsid made the shell a session of its own: end all of it.
                let session = child.id().to_string();
                Command::new("pkill").args(["-KILL", "--session", &session]).status().ok();
                Command::new("pkill").args(["-KILL", "--parent", &session]).status().ok();
                child.kill().ok();
                child.wait()?;
                bail!("no end within {limit:?}: {line}");
            }
            thread::sleep(Duration::from_millis(10));
        };
        let read = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
        Ok(Output { code: status.code().unwrap_or(-1), stdout: read(stdout), stderr: read(stderr) })
    }

    /// As [`run`](Self::run) within a minute, and anything but exit code 0 is an error that shows the output.
    pub fn ok(&self, line: &str) -> anyhow::Result<String> {
        self.ok_within(line, Duration::from_secs(60))
    }

    pub fn ok_within(&self, line: &str, limit: Duration) -> anyhow::Result<String> {
        let output = self.run(line, limit)?;
        if output.code != 0 {
            bail!("exit code {} of: {line}\n{}{}", output.code, output.stdout, output.stderr);
        }
        Ok(output.stdout)
    }
}
