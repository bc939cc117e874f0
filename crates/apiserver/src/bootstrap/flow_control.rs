//! The default levels of priority and the schemas that lead to them, as far as they are ours to keep.

use futures::future::try_join_all;
use serde_json::Value;

use super::write;
use crate::core::Core;

const API: &str = "flowcontrol.apiserver.k8s.io/v1";
/// Whether an object's spec follows the defaults; who sets it to `false` keeps their own.
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

pub async fn reconcile(core: &Core, levels: Vec<Value>, schemas: Vec<Value>) -> anyhow::Result<()> {
    for (resource, objects) in [("prioritylevelconfigurations", levels), ("flowschemas", schemas)] {
        let ensured = objects
            .into_iter()
            .map(|object| write::ensure(core, resource, API, object.clone(), move |old| merged(old, &object)));
        try_join_all(ensured).await?;
    }
    Ok(())
}

fn merged(old: &Value, wanted: &Value) -> Option<Value> {
    if old["metadata"]["annotations"][AUTOUPDATE] != "true" {
        return None;
    }
    let mut new = old.clone();
    for (member, value) in wanted["spec"].as_object().into_iter().flatten() {
        new["spec"][member] = value.clone();
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_wants_their_own_keeps_it() {
        let wanted = json!({"metadata": {"name": "x"}, "spec": {"matchingPrecedence": 1}});
        let object = |auto: &str, precedence: i64| json!({"metadata": {"name": "x", "annotations": {AUTOUPDATE: auto}}, "spec": {"matchingPrecedence": precedence}});
        assert_eq!(merged(&object("false", 2), &wanted), None);
        assert_eq!(merged(&object("true", 2), &wanted), Some(object("true", 1)));
    }
}
