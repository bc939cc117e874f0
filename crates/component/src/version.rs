//! Which Kubernetes this is.

/// The API level that is served and spoken.
pub const KUBERNETES_MAJOR: &str = "1";
pub const KUBERNETES_MINOR: &str = "36";
/// As `kubectl version` shows it; the build part says who we are.
pub const GIT_VERSION: &str = concat!("v1.36.2+kogge.", env!("CARGO_PKG_VERSION"));
pub const KOGGE: &str = env!("CARGO_PKG_VERSION");

/// The `User-Agent` of a component.
pub fn user_agent(component: &str) -> String {
    format!("{component}/{GIT_VERSION} ({}/{}) kogge", std::env::consts::OS, go_arch())
}

/// The architecture in Go's words, as labels and `/version` carry it.
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
