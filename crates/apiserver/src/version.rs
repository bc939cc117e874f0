//! `/version`, in the form of upstream's `version.Info`.

use component::{serve::Body, version};
use http::{Response, StatusCode};
use serde_json::json;

use crate::answer;

pub fn serve() -> Response<Body> {
    let info = json!({
        "major": version::KUBERNETES_MAJOR,
        "minor": version::KUBERNETES_MINOR,
        "emulationMajor": version::KUBERNETES_MAJOR,
        "emulationMinor": version::KUBERNETES_MINOR,
        "minCompatibilityMajor": version::KUBERNETES_MAJOR,
        "minCompatibilityMinor": version::KUBERNETES_MINOR,
        "gitVersion": version::GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, version::go_arch()),
    });
    answer::with_body(StatusCode::OK, Body::from(info.to_string()), "application/json")
}
