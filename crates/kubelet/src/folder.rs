//! Waiting for files in a folder to come, change and go, by inotify.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::Path,
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A watch on a folder's files.
pub struct Folder {
    queue: AsyncFd<Queue>,
}

impl Folder {
    /// Changes after this call are not missed.
    #[expect(unsafe_code, reason = "the reactor must be promised a descriptor that stays open")]
    pub fn watch(path: &Path) -> io::Result<Folder> {
        let queue = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_DELETE;
        queue.add_watch(path, flags)?;
        // SAFETY: the queue owns its descriptor, and the AsyncFd owns the queue until it is dropped.
        let queue = unsafe { AsyncFd::register(Queue(queue)) };
        Ok(Folder { queue: queue.map_err(io::Error::from)? })
    }

    /// Returns when something has happened to the folder itself or to a file whose name is `ours`.
    pub async fn changed(&self, ours: impl Fn(&OsStr) -> bool) -> io::Result<()> {
        let concerns = |event: &InotifyEvent| event.name.as_deref().is_none_or(&ours);
        loop {
            let mut ready = self.queue.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(events) if events.iter().any(concerns) => return Ok(()),
                Ok(_) => {}
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
