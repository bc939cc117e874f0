//! ResourceQuota: counts anew what a namespace uses, when a quota is new or its limits changed.
//!
//! Between two counts the API server keeps the status itself, in the transactions that make, change and remove objects; a
//! count that such a transaction overtook fails on the quota's resourceVersion and is made again. What an object takes
//! is for [`api_types::quota`] to say.

use std::collections::BTreeSet;

use api_types::{
    GroupResource,
    k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus},
    plan::{Plan, Target, Write},
    quantity::{Format, Quantity},
    quota::{Amounts, count_name, covers, matches, resource_of, usage},
};
use serde_json::{Value, json};

/// The status is that of other limits, or of none yet.
pub fn is_due(quota: &ResourceQuota) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let counted = quota.status.as_ref().and_then(|status| status.hard.clone()).unwrap_or_default();
    let used = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
    hard != counted || hard.keys().any(|name| resource_of(name).is_some() && !used.contains_key(name))
}

/// What has to be looked at for a count.
pub fn resources(quota: &ResourceQuota) -> BTreeSet<GroupResource> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    hard.into_iter().flatten().filter_map(|(name, _)| resource_of(name)).collect()
}

/// Objects of these resources differ in what they take; of all others their number is enough.
pub fn is_weighed(resource: &GroupResource) -> bool {
    resource.group.is_empty() && matches!(&*resource.resource, "pods" | "services" | "persistentvolumeclaims")
}

/// A count under way.
#[derive(Debug)]
pub struct Count {
    spec: Value,
    used: Amounts,
}

impl Count {
    pub fn begin(quota: &ResourceQuota) -> Self {
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let known = hard.into_iter().flatten().filter(|(name, _)| resource_of(name).is_some());
        Self { spec: json!(quota.spec), used: known.map(|(name, _)| (name.clone(), Quantity::ZERO)).collect() }
    }

    /// Adds an object of a resource that is weighed.
    pub fn add(&mut self, resource: &GroupResource, object: &Value) {
        if !matches(&self.spec, resource, object) {
            return;
        }
        for (name, amount) in usage(resource, object) {
            self.take(resource, &name, amount);
        }
    }

    /// Adds so many objects of another resource.
    pub fn add_plain(&mut self, resource: &GroupResource, number: u64) {
        // A quota with scopes is about pods and claims alone.
        if !matches(&self.spec, resource, &Value::Null) {
            return;
        }
        let number = Quantity::from_value(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi);
        for name in [count_name(resource), resource.resource.to_string()] {
            self.take(resource, &name, number);
        }
    }

    fn take(&mut self, resource: &GroupResource, name: &str, amount: Quantity) {
        if covers(resource, name)
            && let Some(sum) = self.used.get_mut(name)
        {
            *sum += amount;
        }
    }

    /// Writes the status, if it does not say so already.
    pub fn conclude(self, quota: &ResourceQuota) -> Plan {
        let mut plan = Plan::default();
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone());
        let used = self.used.into_iter().map(|(name, amount)| (name, amount.into())).collect();
        let status = ResourceQuotaStatus { hard, used: Some(used) };
        if quota.metadata.deletion_timestamp.is_none() && quota.status.as_ref() != Some(&status) {
            let object = ResourceQuota { status: Some(status), ..quota.clone() };
            let target = Target::of(quota);
            plan.write(Write::Replace { target, subresource: Some("status"), object: json!(object) });
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(resource: &'static str) -> GroupResource {
        GroupResource { group: "".into(), resource: resource.into() }
    }

    #[test]
    fn counts() {
        let hard =
            json!({"pods": "5", "requests.cpu": "2", "secrets": "3", "count/deployments.apps": "2", "nonsense": "1"});
        let quota: ResourceQuota =
            serde_json::from_value(json!({"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": hard}}))
                .unwrap();
        assert!(is_due(&quota));
        let wanted: Vec<String> = resources(&quota).iter().map(ToString::to_string).collect();
        assert_eq!(wanted, ["pods", "secrets", "deployments.apps"]);
        let mut count = Count::begin(&quota);
        let pod = |phase: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "300m"}}}]}, "status": {"phase": phase}});
        for phase in ["Running", "Pending", "Succeeded"] {
            count.add(&core("pods"), &pod(phase));
        }
        count.add_plain(&core("secrets"), 2);
        count.add_plain(&GroupResource { group: "apps".into(), resource: "deployments".into() }, 1);
        let plan = count.conclude(&quota);
        let Some(Write::Replace { object, .. }) = plan.writes().next() else { panic!("{plan:?}") };
        assert_eq!(
            object["status"]["used"],
            json!({"count/deployments.apps": "1", "pods": "2", "requests.cpu": "600m", "secrets": "2"})
        );
        let counted: ResourceQuota = serde_json::from_value(object.clone()).unwrap();
        assert!(!is_due(&counted));
    }

    #[test]
    fn scopes_leave_the_rest_out() {
        let spec = json!({"hard": {"pods": "5", "secrets": "1"}, "scopes": ["BestEffort"]});
        let quota: ResourceQuota = serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": spec})).unwrap();
        let mut count = Count::begin(&quota);
        count.add(&core("pods"), &json!({"spec": {"containers": [{}]}}));
        count.add(&core("pods"), &json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}}));
        count.add_plain(&core("secrets"), 7);
        let plan = count.conclude(&quota);
        let Some(Write::Replace { object, .. }) = plan.writes().next() else { panic!("{plan:?}") };
        assert_eq!(object["status"]["used"], json!({"pods": "1", "secrets": "0"}));
    }
}
