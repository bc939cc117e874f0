//! Reading a log to its end, and on from there while its container runs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cri::{Runtime, v1};
use tokio::sync::mpsc;

use super::line::Writer;
use super::watch::Watch;
use super::{Options, tail};

/// Bytes of the file in a piece.
const PIECE: usize = 64 << 10;

/// A line longer than this is no line of a log; runtimes cut at 16 KiB.
const LONGEST_LINE: usize = 1 << 20;

pub type Piece = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A container's log file.
pub struct Log {
    runtime: Arc<dyn Runtime>,
    container: String,
    path: PathBuf,
    file: File,
    /// What was read of a line whose end was not there yet.
    rest: Vec<u8>,
}

impl Log {
    /// Fails if there is no file.
    pub async fn open(runtime: Arc<dyn Runtime>, container: String, path: PathBuf) -> io::Result<Log> {
        let file = File::open(&path)?;
        Ok(Log { runtime, container, path, file, rest: Vec::new() })
    }

    /// Sends what is wanted. Ends early when nobody reads any more.
    pub async fn send(mut self, options: &Options, sender: &mpsc::Sender<Piece>) -> io::Result<()> {
        let mut writer = Writer::new(options);
        if options.limit == Some(0) {
            return Ok(());
        }
        let start = match options.tail {
            Some(lines) => tail::offset(&mut self.file, lines)?,
            None => 0,
        };
        self.file.seek(SeekFrom::Start(start))?;
        // Before the first read, so that nothing written after it goes unnoticed.
        let mut watch = options.follow.then(|| Watch::new(&self.path)).transpose()?;
        loop {
            // Asked before reading to the end: what an ended container wrote is all there then.
            let running = watch.is_some() && self.is_running().await;
            if !self.drain(&mut writer, sender).await? {
                return Ok(());
            }
            let Some(watch) = watch.as_mut() else { return self.finish(&mut writer, sender).await };
            if self.reopen()? {
                continue;
            }
            if !running {
                return self.finish(&mut writer, sender).await;
            }
            tokio::select! {
                changed = watch.changed() => changed?,
                () = sender.closed() => return Ok(()),
            }
        }
    }

    /// Sends all there is. False when no more is wanted.
    async fn drain(&mut self, writer: &mut Writer<'_>, sender: &mpsc::Sender<Piece>) -> io::Result<bool> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return Ok(true);
            }
            let mut out = Vec::new();
            let mut wanted = true;
            self.rest.extend_from_slice(&piece[..read]);
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            for line in self.rest[..whole].split_inclusive(|byte| *byte == b'\n') {
                wanted = writer.write(line.strip_suffix(b"\n").unwrap_or(line), &mut out);
                if !wanted {
                    break;
                }
            }
            self.rest.drain(..whole);
            if self.rest.len() > LONGEST_LINE {
                self.rest.clear();
            }
            if (!out.is_empty() && sender.send(Ok(out.into())).await.is_err()) || !wanted {
                return Ok(false);
            }
        }
    }

    /// A last line that nobody will end.
    async fn finish(&mut self, writer: &mut Writer<'_>, sender: &mpsc::Sender<Piece>) -> io::Result<()> {
        let mut out = Vec::new();
        writer.write(&self.rest, &mut out);
        if !out.is_empty() {
            // Nobody reading any more is no failure.
            sender.send(Ok(out.into())).await.ok();
        }
        Ok(())
    }

    /// After a rotation another file has the log's name: goes on with the one that followed, once the old one is read
    /// to its end.
    fn reopen(&mut self) -> io::Result<bool> {
        let identity = |file: &File| file.metadata().map(|data| (data.dev(), data.ino()));
        let own = identity(&self.file)?;
        let current = match File::open(&self.path) {
            Ok(current) => current,
            // Between the old file's going and the new one's coming; or the container was removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if identity(&current)? == own {
            return Ok(false);
        }
        // Something was written to the old one after it was read: that first.
        if self.file.stream_position()? < self.file.metadata()?.len() {
            return Ok(true);
        }
        // A slow reader may be more than one rotation behind. What is compressed by now is lost to it.
        let aside = crate::logs::set_aside(&self.path).into_iter().filter_map(|path| File::open(path).ok());
        let mut aside: Vec<File> = aside.collect();
        if let Some(place) = aside.iter().position(|file| identity(file).is_ok_and(|one| one == own)) {
            aside.drain(..=place);
        }
        self.file = aside.into_iter().next().unwrap_or(current);
        self.rest.clear();
        Ok(true)
    }

    async fn is_running(&self) -> bool {
        match self.runtime.container_status(&self.container).await {
            Ok(status) => status.state() == v1::ContainerState::ContainerRunning,
            // While the runtime is away its containers run on.
            Err(error) => !error.is_not_found(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cri::fake::Fake;
    use std::io::Write as _;
    use std::net::Ipv4Addr;
    use std::path::Path;

    async fn container(fake: &Fake) -> String {
        fake.add_image("i");
        let sandbox = fake.run_pod_sandbox(v1::PodSandboxConfig::default(), "").await.unwrap();
        let image = Some(v1::ImageSpec { image: "i".into(), ..Default::default() });
        let config = v1::ContainerConfig { image, ..Default::default() };
        let id = fake.create_container(&sandbox, config, v1::PodSandboxConfig::default()).await.unwrap();
        fake.start_container(&id).await.unwrap();
        id
    }

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "2026-01-01T00:00:00Z stdout F {text}").unwrap();
    }

    async fn next(receiver: &mut mpsc::Receiver<Piece>) -> Option<String> {
        let piece = tokio::time::timeout(std::time::Duration::from_secs(30), receiver.recv()).await.unwrap();
        piece.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn follows_growth_rotation_and_the_end() {
        let folder = std::env::temp_dir().join(format!("kogge-logs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("0.log");
        for text in ["one", "two", "three"] {
            append(&path, text);
        }
        let fake = Fake::new(Ipv4Addr::new(10, 0, 0, 1), || jiff::Timestamp::UNIX_EPOCH);
        let id = container(&fake).await;
        let log = Log::open(Arc::new(fake.clone()), id.clone(), path.clone()).await.unwrap();
        let (sender, mut receiver) = mpsc::channel(1);
        let options = Options { follow: true, tail: Some(2), ..Options::default() };
        let sending = tokio::spawn(async move { log.send(&options, &sender).await });

        assert_eq!(next(&mut receiver).await.unwrap(), "two\nthree\n");
        append(&path, "four");
        assert_eq!(next(&mut receiver).await.unwrap(), "four\n");
        std::fs::rename(&path, folder.join("0.log.old")).unwrap();
        append(&folder.join("0.log.old"), "five");
        assert_eq!(next(&mut receiver).await.unwrap(), "five\n");
        append(&path, "six");
        assert_eq!(next(&mut receiver).await.unwrap(), "six\n");
        // Two rotations at once: the folder changes, but nothing is read in between.
        append(&path, "seven");
        std::fs::rename(&path, folder.join("0.log.p")).unwrap();
        append(&folder.join("0.log.q"), "eight");
        append(&path, "nine");
        let mut all = String::new();
        while !all.ends_with("nine\n") {
            all += &next(&mut receiver).await.unwrap();
        }
        assert_eq!(all, "seven\neight\nnine\n");
        fake.exit(&id, 0);
        append(&path, "last");
        assert_eq!(next(&mut receiver).await.unwrap(), "last\n");
        assert_eq!(next(&mut receiver).await, None);
        sending.await.unwrap().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
