//! What the server serves, and what people call it: `po`, `deploy`, `deployments.apps`, `all`.
//!
//! Asked from aggregated discovery in two requests; servers without it are asked group by group.

use anyhow::bail;
use api_types::names::api_version;
use serde_json::Value;

use crate::session::Session;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// One kind of object that the server serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `deployments.apps`, or `pods` in the core group.
    pub fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `deployment.apps/web`, as `-o name` and messages say it.
    pub fn object_name(&self, name: &str) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{}/{name}", self.group) }
    }

    /// The path of all objects, or of those of one namespace.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural),
            None => format!("{root}/{}/{}", self.version, self.plural),
        }
    }

    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.path(Some(namespace)))
    }

    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

#[derive(Debug, Default)]
pub struct Discovery {
    /// In the server's order of preference.
    pub resources: Vec<Resource>,
    /// Every group and version, preferred ones first within their group.
    pub group_versions: Vec<(String, String)>,
}

impl Discovery {
    pub async fn load(session: &Session) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for root in ["/api", "/apis"] {
            let document = session.get_as(root, AGGREGATED).await?;
            match document["kind"].as_str() {
                Some("APIGroupDiscoveryList") => found.add_aggregated(&document),
                Some("APIVersions") => found.add_legacy(session, "", &document["versions"]).await?,
                _ => {
                    for group in items(&document["groups"]) {
                        let name = text(&group["name"]);
                        let versions: Vec<Value> =
                            items(&group["versions"]).iter().map(|v| v["version"].clone()).collect();
                        found.add_legacy(session, &name, &Value::from(versions)).await?;
                    }
                }
            }
        }
        Ok(found)
    }

    fn add_aggregated(&mut self, document: &Value) {
        for group in items(&document["items"]) {
            let name = text(&group["metadata"]["name"]);
            for version in items(&group["versions"]) {
                self.group_versions.push((name.clone(), text(&version["version"])));
                for resource in items(&version["resources"]) {
                    self.resources.push(Resource {
                        group: name.clone(),
                        version: text(&version["version"]),
                        plural: text(&resource["resource"]),
                        singular: text(&resource["singularResource"]),
                        kind: text(&resource["responseKind"]["kind"]),
                        namespaced: resource["scope"] == "Namespaced",
                        verbs: texts(&resource["verbs"]),
                        short_names: texts(&resource["shortNames"]),
                        categories: texts(&resource["categories"]),
                        subresources: items(&resource["subresources"])
                            .iter()
                            .map(|s| text(&s["subresource"]))
                            .collect(),
                    });
                }
            }
        }
    }

    async fn add_legacy(&mut self, session: &Session, group: &str, versions: &Value) -> anyhow::Result<()> {
        for version in texts(versions) {
            let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
            let document = session.get(&format!("{root}/{version}")).await?;
            self.group_versions.push((group.to_owned(), version.clone()));
            for resource in items(&document["resources"]) {
                let name = text(&resource["name"]);
                if let Some((parent, subresource)) = name.split_once('/') {
                    let known = |r: &&mut Resource| r.group == group && r.version == version && r.plural == parent;
                    if let Some(parent) = self.resources.iter_mut().find(known) {
                        parent.subresources.push(subresource.to_owned());
                    }
                    continue;
                }
                self.resources.push(Resource {
                    group: group.to_owned(),
                    version: version.clone(),
                    singular: text(&resource["singularName"]),
                    kind: text(&resource["kind"]),
                    namespaced: resource["namespaced"] == true,
                    verbs: texts(&resource["verbs"]),
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    plural: name,
                    subresources: vec![],
                });
            }
        }
        Ok(())
    }

    /// What `word` means: a plural, singular, kind or short name, with `.group` or `.version.group` behind it.
    pub fn find(&self, word: &str) -> anyhow::Result<&Resource> {
        let lower = word.to_lowercase();
        let (name, rest) = lower.split_once('.').unwrap_or((&lower, ""));
        let named = |r: &&Resource| {
            r.plural == name
                || r.singular == name
                || r.kind.to_lowercase() == name
                || r.short_names.iter().any(|s| s == name)
        };
        let in_group = |r: &&Resource| {
            rest.is_empty()
                || r.group == rest
                || rest.split_once('.').is_some_and(|(version, group)| r.version == version && r.group == group)
                || (r.group.is_empty() && rest == r.version)
                || r.group.starts_with(&format!("{rest}."))
        };
        let exact = |r: &&Resource| !r.short_names.iter().any(|s| s == name);
        let all: Vec<_> = self.resources.iter().filter(named).filter(in_group).collect();
        match all.iter().find(|r| exact(r)).or(all.first()) {
            Some(resource) => Ok(resource),
            None => bail!("the server doesn't have a resource type \"{word}\""),
        }
    }

    /// `pods,services`, `all`, …: every resource that is meant.
    pub fn find_all(&self, words: &str) -> anyhow::Result<Vec<&Resource>> {
        let mut found = vec![];
        for word in words.split(',') {
            let in_category: Vec<_> =
                self.resources.iter().filter(|r| r.categories.iter().any(|c| c == word) && r.can("list")).collect();
            if in_category.is_empty() {
                found.push(self.find(word)?);
            } else {
                found.extend(in_category);
            }
        }
        Ok(found)
    }

    /// The resource of a manifest's `apiVersion` and `kind`.
    pub fn of_manifest(&self, object: &Value) -> anyhow::Result<&Resource> {
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        if version.is_empty() || kind.is_empty() {
            bail!("the manifest has no apiVersion or no kind");
        }
        self.resources.iter().find(|r| r.kind == kind && r.api_version() == version).ok_or_else(|| {
            anyhow::anyhow!(
                "resource mapping not found for name: \"{}\": no matches for kind \"{kind}\" in version \"{version}\"",
                text(&object["metadata"]["name"])
            )
        })
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    items(value).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, plural: &str, kind: &str, short: &str, category: &str) -> Resource {
        Resource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            kind: kind.into(),
            namespaced: true,
            verbs: vec!["list".into()],
            short_names: vec![short.into()],
            categories: vec![category.into()],
            ..Resource::default()
        }
    }

    #[test]
    fn words_people_type() {
        let discovery = Discovery {
            resources: vec![
                resource("", "pods", "Pod", "po", "all"),
                resource("", "events", "Event", "ev", ""),
                resource("apps", "deployments", "Deployment", "deploy", "all"),
                resource("events.k8s.io", "events", "Event", "ev", ""),
            ],
            group_versions: vec![],
        };
        for (word, name) in [
            ("po", "pods"),
            ("pod", "pods"),
            ("Pods", "pods"),
            ("deploy", "deployments.apps"),
            ("deployments.apps", "deployments.apps"),
            ("deployment.v1.apps", "deployments.apps"),
            ("events", "events"),
            ("events.events.k8s.io", "events.events.k8s.io"),
        ] {
            assert_eq!(discovery.find(word).unwrap().full_name(), name, "{word}");
        }
        assert_eq!(discovery.find("foo").unwrap_err().to_string(), "the server doesn't have a resource type \"foo\"");
        assert_eq!(discovery.find_all("all").unwrap().len(), 2);
        assert_eq!(discovery.resources[2].object_path("a", "b"), "/apis/apps/v1/namespaces/a/deployments/b");
    }
}
