//! One definition that is served: its kinds, and the store's resource behind them.

use std::sync::Arc;

use anyhow::Context;
use api_rules::{KindRef, custom::Definition, custom::definition::served_form};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::ResourceRef;

use crate::core::{self, Core, Served};

#[derive(Clone)]
pub struct Serving {
    /// Stands for what decides about the bytes that are served.
    form: [u8; 32],
    /// Stands for all that the kinds were read from.
    pub whole: [u8; 32],
    pub id: ResourceRef,
    pub kinds: Vec<Arc<Served>>,
    pub stored: Arc<Served>,
}

impl Serving {
    /// Serves a definition; what has not changed is taken over from `before`. Objects are read anew only if they would be
    /// served in another form.
    pub async fn of(core: &Core, crd: &Value, before: Option<&Self>) -> anyhow::Result<Self> {
        let (form, whole) = (digest(&served_form(crd)), digest(&relevant(crd)));
        if let Some(before) = before.filter(|before| before.whole == whole) {
            return Ok(before.clone());
        }
        let definition = Definition::read(crd)?;
        let id = match before.filter(|before| before.form == form) {
            Some(before) => before.id.clone(),
            None => {
                let resource = core::resource(&definition.stored_kind()).context("custom resources are stored")?;
                core.store.add(resource).await?
            }
        };
        let served = |kind| Arc::new(Served::new(KindRef::Custom(kind), Some(id.clone())));
        Ok(Self {
            form,
            whole,
            kinds: definition.served.into_iter().map(|kind| served(kind)).collect(),
            stored: served(definition.stored),
            id,
        })
    }
}

/// What of a definition decides about anything at all that is served.
fn relevant(crd: &Value) -> Value {
    serde_json::json!([
        crd["metadata"]["uid"],
        crd["spec"],
        crd["status"]["acceptedNames"],
        api_rules::custom::definition::condition(crd, "Terminating"),
    ])
}

fn digest(value: &Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}
