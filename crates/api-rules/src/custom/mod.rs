//! Custom resources: from a CustomResourceDefinition to kinds that are served like those that are compiled in.
//!
//! * [`schema`]: the structural schema; `prune`, `default`, [`validate`], `lists` and `embedded` go by it.
//! * [`definition`]: what a definition says, as one [`CustomKind`] for each version that is served.
//! * [`establish`]: what becomes of a definition: whether its names are free, whether it is served.
//! * [`openapi`]: how a schema is published.
//!
//! What a definition may say is checked where all kinds are: `kinds/custom_resource_definition`. Rules in CEL and conversion by
//! webhook are refused there, so nothing here knows of them.

pub mod default;
pub mod definition;
pub mod embedded;
pub mod establish;
pub mod formats;
pub mod json_path;
mod kind;
mod lists;
pub mod openapi;
mod path;
pub mod pattern;
pub mod prune;
pub mod schema;
pub mod validate;

pub use definition::Definition;
pub use kind::CustomKind;
