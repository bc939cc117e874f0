//! Between the kubelet's terms and the container runtime's: what it shows, what it is told, and when
//! it says that something changed.

pub mod feed;
mod last_words;
pub mod observe;
