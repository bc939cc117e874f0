//! Which container of a pod is meant.

use api_types::Status;
use serde_json::Value;

/// The named container, or the only one; 400 in upstream's words for anything else.
pub fn choose(pod: &Value, wanted: Option<&str>) -> Result<String, Status> {
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<&str> {
        pod["spec"][list].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let (ordinary, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if let Some(wanted) = wanted {
        let known = [&ordinary, &init, &ephemeral].iter().any(|list| list.contains(&wanted));
        return if known {
            Ok(wanted.to_owned())
        } else {
            Err(Status::bad_request(format!("container {wanted} is not valid for pod {pod_name}")))
        };
    }
    match ordinary.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        several => {
            let mut why = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                several.join(" ")
            );
            if !init.is_empty() {
                why += &format!(" or one of the init containers: [{}]", init.join(" "));
            }
            if !ephemeral.is_empty() {
                why += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
            }
            Err(Status::bad_request(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: Value, wanted: Option<&str>, expected: Result<&str, &str>) {
        let pod = json!({"metadata": {"name": "web"}, "spec": spec});
        let found = choose(&pod, wanted).map_err(|status| status.message);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn choices() {
        let one = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]});
        check(one.clone(), None, Ok("a"));
        check(one.clone(), Some("i"), Ok("i"));
        check(one, Some("x"), Err("container x is not valid for pod web"));
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]});
        let why =
            "a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]";
        check(two, None, Err(why));
    }
}
