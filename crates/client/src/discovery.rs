//! Which kinds the API serves, by aggregated discovery.

use api_types::object::Resource;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use serde::Deserialize;

use crate::api::{Api, Error};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A kind that is served, in the version its group prefers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub resource: Resource,
    pub verbs: Vec<String>,
}

impl Served {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }
}

/// All kinds, each once, and the groups whose server did not answer.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    pub kinds: Vec<Served>,
    /// `group/version` of those that are known to be incomplete.
    pub stale: Vec<String>,
}

/// # Errors
/// When the API server does not answer, or not in the aggregated form.
pub async fn discover(api: &Api) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    for path in ["/api", "/apis"] {
        let request = Request::builder().method(Method::GET).uri(path).header(header::ACCEPT, AGGREGATED);
        let answer = api.open(request, bytes::Bytes::new()).await?;
        let body = answer.into_body().collect().await.map_err(|error| Error::Unknown(error.into()))?.to_bytes();
        let groups: Groups = serde_json::from_slice(&body).map_err(Error::Unreadable)?;
        groups.add_to(&mut found);
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Name,
    /// The preferred one first.
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Kind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    resource: String,
    #[serde(default)]
    response_kind: ResponseKind,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseKind {
    kind: String,
}

impl Groups {
    fn add_to(self, found: &mut Discovered) {
        for group in self.items {
            let name = group.metadata.name;
            for version in group.versions {
                if version.freshness == "Stale" {
                    found.stale.push(format!("{name}/{}", version.version));
                }
                for kind in version.resources {
                    let known =
                        |served: &Served| served.resource.group == name && served.resource.plural == kind.resource;
                    if found.kinds.iter().any(known) {
                        continue;
                    }
                    let resource = Resource {
                        group: name.clone().into(),
                        version: version.version.clone().into(),
                        kind: kind.response_kind.kind.into(),
                        plural: kind.resource.into(),
                        namespaced: kind.scope == "Namespaced",
                    };
                    found.kinds.push(Served { resource, verbs: kind.verbs });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_first_version() {
        let groups: Groups = serde_json::from_str(
            r#"{"items": [{"metadata": {"name": "apps"}, "versions": [
                {"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"},
                    "scope": "Namespaced", "verbs": ["list", "watch"]}]},
                {"version": "v1beta1", "freshness": "Stale", "resources": [{"resource": "deployments",
                    "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": []}]}]}]}"#,
        )
        .unwrap();
        let mut found = Discovered::default();
        groups.add_to(&mut found);
        assert_eq!(found.kinds.len(), 1);
        assert!(found.kinds[0].can("watch") && !found.kinds[0].can("delete"));
        assert_eq!(found.kinds[0].resource.collection_path("n"), "/apis/apps/v1/namespaces/n/deployments");
        assert_eq!(found.stale, ["apps/v1beta1"]);
    }
}
