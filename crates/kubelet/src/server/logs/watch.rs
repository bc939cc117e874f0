//! Waiting for a log to grow, by inotify.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

/// Somebody may have removed and made the folder anew, which no event tells.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A watch on a log file, whatever file that is at the moment.
pub struct Watch {
    queue: AsyncFd<Queue>,
    path: PathBuf,
}

impl Watch {
    /// Changes after this call are not missed.
    #[expect(unsafe_code, reason = "the reactor must be promised a descriptor that stays open")]
    pub fn new(path: &Path) -> io::Result<Watch> {
        let queue = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // The folder tells of every file in it: of this one, and of the one that takes its name after a rotation.
        let folder = path.parent().unwrap_or(Path::new("/"));
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_DELETE;
        queue.add_watch(folder, flags)?;
        // SAFETY: the queue owns its descriptor, and the AsyncFd owns the queue until it is dropped.
        let queue = unsafe { AsyncFd::register(Queue(queue)) };
        Ok(Watch { queue: queue.map_err(io::Error::from)?, path: path.to_owned() })
    }

    /// Returns when the file may have grown, ended, or been replaced.
    pub async fn changed(&mut self) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        // A rotated file keeps the name's beginning, and may be written to a last time.
        let ours = |event: &InotifyEvent| {
            event.name.as_ref().is_none_or(|changed| changed.as_encoded_bytes().starts_with(name))
        };
        let event = async {
            loop {
                let mut ready = self.queue.readable().await?;
                match ready.get_inner().0.read_events() {
                    Ok(events) if events.iter().any(ours) => return Ok(()),
                    Ok(_) => {}
                    Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                    Err(errno) => return Err(errno.into()),
                }
            }
        };
        tokio::time::timeout(LOOK_ANYWAY, event).await.unwrap_or(Ok(()))
    }
}
