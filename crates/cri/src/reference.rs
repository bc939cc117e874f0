//! Image names as the container world completes them.

/// Completes an image's name with the default registry, the `library/` folder and the tag `latest`:
/// `busybox` is `docker.io/library/busybox:latest`. A name with a digest keeps it and gets no tag.
pub fn normalize(image: &str) -> String {
    let (domain, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (if first == "index.docker.io" { "docker.io" } else { first }, rest)
        }
        _ => ("docker.io", image),
    };
    let library = if domain == "docker.io" && !rest.contains('/') { "library/" } else { "" };
    let last = rest.rsplit('/').next().unwrap_or(rest);
    let tag = if last.contains([':', '@']) { "" } else { ":latest" };
    format!("{domain}/{library}{rest}{tag}")
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn names_are_completed() {
        let check = |given: &str, want: &str| assert_eq!(normalize(given), want, "{given}");
        check("busybox", "docker.io/library/busybox:latest");
        check("nginx:1.25", "docker.io/library/nginx:1.25");
        check("kogge/hello", "docker.io/kogge/hello:latest");
        check("docker.io/busybox", "docker.io/library/busybox:latest");
        check("index.docker.io/library/busybox:1", "docker.io/library/busybox:1");
        check("localhost/x", "localhost/x:latest");
        check("localhost:5000/a/b:v1", "localhost:5000/a/b:v1");
        check("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9");
        check("busybox@sha256:00", "docker.io/library/busybox@sha256:00");
    }
}
