//! One suite, run on the fake and on a real containerd: what the kubelet may rely on.
//!
//! The real run needs root, containerd, runc, and the archives of `hack/images.sh pause busybox`; without root it is
//! skipped with a message, because it cannot mean anything then.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fake;
mod real;
mod suite;
