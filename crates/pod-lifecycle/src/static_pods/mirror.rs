//! The mirror of a static pod: an object that only shows it. Deleting the mirror does nothing to the pod; it comes back.

use super::Local;
use crate::{
    core::{Node, Pod},
    names,
};
use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    /// At once: nothing runs for it.
    Delete {
        uid: String,
    },
}

/// What to do about the mirror under a name.
pub fn plan(local: &Local, mirror: Option<&Pod>) -> Option<Action> {
    let delete = |mirror: &Pod| Some(Action::Delete { uid: names::uid(mirror).to_owned() });
    match (local, mirror) {
        (Local::Nothing, Some(mirror)) => delete(mirror),
        (Local::Wanted(_), None) => Some(Action::Create),
        (Local::Wanted(pod), Some(mirror)) => {
            let shows = names::annotation(mirror, names::CONFIG_MIRROR) == Some(hash(pod));
            if shows && mirror.metadata.deletion_timestamp.is_none() { None } else { delete(mirror) }
        }
        // It shows the end of its pod.
        (Local::Ending, _) | (Local::Nothing, None) => None,
    }
}

/// The mirror as it is to be created. The API server wants its owner to be the node.
pub fn object(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = pod.clone();
    let annotations = mirror.metadata.annotations.get_or_insert_default();
    annotations.insert(names::CONFIG_MIRROR.into(), hash(pod).to_owned());
    mirror.metadata.uid = None;
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    mirror
}

fn hash(pod: &Pod) -> &str {
    names::annotation(pod, names::CONFIG_HASH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        samples::{self, at},
        static_pods::{Origin, identify},
    };
    use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use std::sync::Arc;

    fn pod(image: &str) -> Pod {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.metadata.uid = None;
        pod.spec.as_mut().unwrap().containers[0].image = Some(image.into());
        identify(pod, &Origin::File("/m".into()), "n", at(0))
    }

    fn node() -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("n".into());
        node.metadata.uid = Some("node-uid".into());
        node
    }

    fn mirror(image: &str, uid: &str, deleting: bool) -> Pod {
        let mut mirror = object(&pod(image), &node());
        mirror.metadata.uid = Some(uid.into());
        mirror.metadata.deletion_timestamp = deleting.then(|| Time(at(1)));
        mirror
    }

    #[test]
    fn what_becomes_of_mirrors() {
        let wanted = Local::Wanted(Arc::new(pod("one")));
        let delete = Some(Action::Delete { uid: "m".into() });
        for (local, mirror, want) in [
            (&wanted, None, Some(Action::Create)),
            (&wanted, Some(mirror("one", "m", false)), None),
            (&wanted, Some(mirror("one", "m", true)), delete.clone()),
            (&wanted, Some(mirror("two", "m", false)), delete.clone()),
            (&Local::Ending, Some(mirror("one", "m", true)), None),
            (&Local::Ending, None, None),
            (&Local::Nothing, Some(mirror("one", "m", false)), delete),
            (&Local::Nothing, None, None),
        ] {
            assert_eq!(plan(local, mirror.as_ref()), want, "{local:?}");
        }
    }

    #[test]
    fn a_mirror_belongs_to_its_node() {
        let mirror = object(&pod("one"), &node());
        let owner = &mirror.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Node", "node-uid", Some(true)));
        assert_eq!(names::annotation(&mirror, names::CONFIG_MIRROR), Some(names::uid(&pod("one"))));
        assert_eq!(mirror.metadata.uid, None);
        assert!(names::is_mirror(&mirror));
    }
}
