//! Image pulls: whether one is due, with which credentials, and what its failure is called.

use crate::core::Container;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// What the spec says; by default `Always` for `:latest` and untagged images.
pub fn policy(container: &Container) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ if is_latest(container.image.as_deref().unwrap_or_default()) => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}

fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    UsePresent,
    Pull,
    /// `ErrImageNeverPull`.
    Refuse,
}

pub fn decide(policy: Policy, present: bool) -> Decision {
    match (policy, present) {
        (Policy::Always, _) | (Policy::IfNotPresent, false) => Decision::Pull,
        (_, true) => Decision::UsePresent,
        (Policy::Never, false) => Decision::Refuse,
    }
}

/// Whether the name can be an image's at all; what cannot is `InvalidImageName`.
pub fn is_valid(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let last_slash = name.rfind('/').map_or(0, |i| i + 1);
    let (path, tag) = match name[last_slash..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    let registry_like = |first: &str| first.contains('.') || first.contains(':') || first == "localhost";
    let repository = match path.split_once('/') {
        Some((first, rest)) if registry_like(first) => rest,
        _ => path,
    };
    let component = |c: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(c.chars().next())
            && ends(c.chars().last())
            && c.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    let tag_ok =
        |t: &str| !t.is_empty() && t.len() <= 128 && t.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let digest_ok = |d: &str| {
        d.split_once(':')
            .is_some_and(|(a, h)| !a.is_empty() && h.len() >= 32 && h.chars().all(|c| c.is_ascii_hexdigit()))
    };
    !repository.is_empty()
        && repository.split('/').all(component)
        && tag.is_none_or(tag_ok)
        && digest.is_none_or(digest_ok)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    pub auth: String,
    pub identity_token: String,
    pub registry_token: String,
    pub server: String,
}

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// The credentials for an image (in full form: `registry/path:tag`) from the pull secrets' files,
/// the most specific entry first. `old_format` is a `.dockercfg`, without the `auths` around it.
pub fn credentials(image: &str, files: &[(Vec<u8>, bool)]) -> Result<Vec<Credentials>, serde_json::Error> {
    let mut found = vec![];
    for (content, old_format) in files {
        let auths = if *old_format {
            serde_json::from_slice(content)?
        } else {
            serde_json::from_slice::<DockerConfig>(content)?.auths
        };
        for (server, entry) in auths {
            if let Some(rank) = matches(&server, image) {
                let credentials = Credentials {
                    username: entry.username,
                    password: entry.password,
                    auth: entry.auth,
                    identity_token: entry.identitytoken,
                    registry_token: entry.registrytoken,
                    server,
                };
                found.push((rank, credentials));
            }
        }
    }
    found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    Ok(found.into_iter().map(|(_, c)| c).collect())
}

/// How specifically a configured server names the image's registry and path.
fn matches(server: &str, image: &str) -> Option<usize> {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let bare = if bare == "index.docker.io" { "docker.io" } else { bare };
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let host_fits = {
        let (want, have): (Vec<_>, Vec<_>) = (host.split('.').collect(), image_host.split('.').collect());
        want.len() == have.len()
            && want
                .iter()
                .zip(&have)
                .all(|(w, h)| w == h || *w == "*" || w.strip_prefix('*').is_some_and(|s| h.ends_with(s)))
    };
    let rest = image_path.strip_prefix(path)?;
    let path_fits = path.is_empty() || rest.is_empty() || rest.starts_with(['/', ':', '@']);
    (host_fits && path_fits).then_some(bare.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let policy_of = |image: &str, policy_text: Option<&str>| {
            policy(&Container {
                image: Some(image.into()),
                image_pull_policy: policy_text.map(str::to_owned),
                ..Container::default()
            })
        };
        assert_eq!(policy_of("nginx", None), Policy::Always);
        assert_eq!(policy_of("r:5000/nginx", None), Policy::Always);
        assert_eq!(policy_of("nginx:1.2", None), Policy::IfNotPresent);
        assert_eq!(policy_of("nginx:latest", Some("IfNotPresent")), Policy::IfNotPresent);
        assert_eq!(decide(Policy::Never, false), Decision::Refuse);
        assert_eq!(decide(Policy::Always, true), Decision::Pull);
    }

    #[test]
    fn names() {
        for good in
            ["nginx", "nginx:1.2", "r.io:5000/a/b-c:v1", "localhost/x", "a/b@sha256:0123456789abcdef0123456789abcdef"]
        {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "Nginx", "nginx:", "a//b", "-a", "FAILED/x", "a@sha256:1"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn the_most_specific_credentials_first() {
        let file = br#"{"auths": {"https://r.io/v1/": {"username": "a"}, "r.io/team": {"username": "b"}, "*.r.io": {"username": "c"}, "x.io": {}}}"#;
        let users = |image: &str| {
            let found = credentials(image, &[(file.to_vec(), false)]).unwrap();
            found.into_iter().map(|c| c.username).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(users("r.io/team/app:1"), "b a");
        assert_eq!(users("r.io/teams/app:1"), "a");
        assert_eq!(users("eu.r.io/app"), "c");
        assert_eq!(users("docker.io/library/app"), "");
    }
}
