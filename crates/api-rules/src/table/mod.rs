//! `Table` documents: what `get` shows, in upstream's columns and words.

pub mod cells;
pub mod duration;
