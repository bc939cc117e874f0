//! HorizontalPodAutoscaler: how many replicas a workload gets, by what is measured.
//!
//! Both versions read and write the same stored objects, which have the form of v2. What v1 has no fields for travels in
//! its annotations ([`convert`]).

mod behavior;
mod convert;
mod metrics;
#[cfg(test)]
mod tests;
pub mod v1;
pub mod v2;
mod validation;

use crate::kind::Storage;

const STORAGE: Option<Storage> = Some(Storage { prefix: "horizontalpodautoscalers", cached: true });
const NOT_SCALED: Option<&'static str> = Some("nothing is measured and scaled");
