//! kctl
