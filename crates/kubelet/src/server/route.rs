//! Which request is which, and what one needs to be allowed for it. Paths are upstream's.

use http::Method;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    /// Given by some clients; the pod found must have it then.
    pub uid: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    pub pod: PodRef,
    pub container: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    ContainerLogs(ContainerRef),
    Exec(ContainerRef),
    Attach(ContainerRef),
    PortForward(PodRef),
    Run(ContainerRef),
    Pods,
    RunningPods,
    Metrics,
    MetricsProbes,
    MetricsResource,
    MetricsCadvisor,
    StatsSummary,
    Configz,
}

impl Route {
    pub fn parse(path: &str) -> Option<Route> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let pod = |namespace: &str, name: &str, uid: Option<&str>| PodRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.map(str::to_owned),
        };
        let container = |rest: &[&str]| match *rest {
            [namespace, name, container] => {
                Some(ContainerRef { pod: pod(namespace, name, None), container: container.to_owned() })
            }
            [namespace, name, uid, container] => {
                Some(ContainerRef { pod: pod(namespace, name, Some(uid)), container: container.to_owned() })
            }
            _ => None,
        };
        match parts.as_slice() {
            ["containerLogs", rest @ ..] if rest.len() == 3 => container(rest).map(Route::ContainerLogs),
            ["exec", rest @ ..] => container(rest).map(Route::Exec),
            ["attach", rest @ ..] => container(rest).map(Route::Attach),
            ["run", rest @ ..] => container(rest).map(Route::Run),
            ["portForward", namespace, name] => Some(Route::PortForward(pod(namespace, name, None))),
            ["portForward", namespace, name, uid] => Some(Route::PortForward(pod(namespace, name, Some(uid)))),
            ["pods"] => Some(Route::Pods),
            ["runningpods"] => Some(Route::RunningPods),
            ["metrics"] => Some(Route::Metrics),
            ["metrics", "probes"] => Some(Route::MetricsProbes),
            ["metrics", "resource"] => Some(Route::MetricsResource),
            ["metrics", "cadvisor"] => Some(Route::MetricsCadvisor),
            ["stats", "summary"] => Some(Route::StatsSummary),
            ["configz"] => Some(Route::Configz),
            _ => None,
        }
    }

    /// The subresource of `nodes` that the request is judged by.
    pub fn subresource(&self) -> &'static str {
        match self {
            Route::Metrics | Route::MetricsProbes | Route::MetricsResource | Route::MetricsCadvisor => "metrics",
            Route::StatsSummary => "stats",
            Route::Configz => "configz",
            Route::Pods | Route::RunningPods => "pods",
            _ => "proxy",
        }
    }
}

pub fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let pod = |uid: Option<&str>| PodRef { namespace: "ns".into(), name: "p".into(), uid: uid.map(str::to_owned) };
        let of = |uid: Option<&str>| ContainerRef { pod: pod(uid), container: "c".into() };
        let check = |path: &str, want: Option<(Route, &str)>| {
            let got = Route::parse(path).map(|route| (route.clone(), route.subresource()));
            assert_eq!(got, want, "{path}");
        };
        check("/containerLogs/ns/p/c", Some((Route::ContainerLogs(of(None)), "proxy")));
        check("/containerLogs/ns/p/u/c", None);
        check("/exec/ns/p/c", Some((Route::Exec(of(None)), "proxy")));
        check("/exec/ns/p/u/c", Some((Route::Exec(of(Some("u"))), "proxy")));
        check("/attach/ns/p/c", Some((Route::Attach(of(None)), "proxy")));
        check("/portForward/ns/p", Some((Route::PortForward(pod(None)), "proxy")));
        check("/portForward/ns/p/u", Some((Route::PortForward(pod(Some("u"))), "proxy")));
        check("/pods", Some((Route::Pods, "pods")));
        check("/runningpods/", Some((Route::RunningPods, "pods")));
        check("/metrics/cadvisor", Some((Route::MetricsCadvisor, "metrics")));
        check("/stats/summary", Some((Route::StatsSummary, "stats")));
        check("/configz", Some((Route::Configz, "configz")));
        check("/", None);
        check("/metrics/other", None);
    }
}
