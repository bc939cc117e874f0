//! The contract: one function per promise.

use std::path::PathBuf;
use std::time::Duration;

use cri::{Change, Error, Event, EventStream, Runtime, v1};
use futures::StreamExt as _;

/// Commands that both runs understand.
pub const EXIT_3: &str = "exit 3";
pub const RUNS: &str = "sleep 1000";
pub const OBEYS_TERM: &str = "trap 'exit 5' TERM; while :; do sleep 0.1; done";
pub const IGNORES_TERM: &str = "trap '' TERM; while :; do sleep 0.1; done";

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a promise is tried on.
pub struct Lab<'a> {
    pub runtime: &'a dyn Runtime,
    pub logs: PathBuf,
    pub cgroup_parent: String,
}

/// A pod of the lab.
pub struct Pod<'a> {
    lab: &'a Lab<'a>,
    pub sandbox: String,
    pub config: v1::PodSandboxConfig,
}

pub async fn run(lab: &Lab<'_>) {
    says_who_it_is(lab).await;
    sandboxes_live_and_die(lab).await;
    names_are_taken_once(lab).await;
    containers_live_and_die(lab).await;
    exits_are_told(lab).await;
    stopping_asks_first(lab).await;
    filters_select(lab).await;
    exec_answers(lab).await;
    what_is_gone_is_gone(lab).await;
    images_are_named(lab).await;
    removing_a_sandbox_takes_all(lab).await;
}

impl<'a> Lab<'a> {
    pub fn config(&self, name: &str) -> v1::PodSandboxConfig {
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.logs.join(name).display().to_string(),
            labels: [("pod".to_owned(), name.to_owned())].into(),
            linux: Some(v1::LinuxPodSandboxConfig { cgroup_parent: self.cgroup_parent.clone(), ..Default::default() }),
            ..Default::default()
        }
    }

    pub async fn pod(&'a self, name: &str) -> Pod<'a> {
        let config = self.config(name);
        let sandbox = self.runtime.run_pod_sandbox(config.clone(), "").await.unwrap();
        Pod { lab: self, sandbox, config }
    }
}

impl Pod<'_> {
    pub fn spec(&self, name: &str, script: &str) -> v1::ContainerConfig {
        std::fs::create_dir_all(format!("{}/{name}", self.config.log_directory)).unwrap();
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: "busybox".to_owned(), ..Default::default() }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            labels: [("container".to_owned(), name.to_owned())].into(),
            log_path: format!("{name}/0.log"),
            linux: Some(v1::LinuxContainerConfig::default()),
            ..Default::default()
        }
    }

    pub async fn container(&self, name: &str, script: &str) -> String {
        let spec = self.spec(name, script);
        self.lab.runtime.create_container(&self.sandbox, spec, self.config.clone()).await.unwrap()
    }

    pub async fn started(&self, name: &str, script: &str) -> String {
        let id = self.container(name, script).await;
        self.lab.runtime.start_container(&id).await.unwrap();
        id
    }

    pub async fn remove(self) {
        self.lab.runtime.stop_pod_sandbox(&self.sandbox).await.unwrap();
        self.lab.runtime.remove_pod_sandbox(&self.sandbox).await.unwrap();
        std::fs::remove_dir_all(&self.config.log_directory).ok();
    }
}

/// Waits for an event.
pub async fn seen(events: &mut EventStream, wanted: &Event) {
    let search = async { while events.next().await.as_ref() != Some(wanted) {} };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("never seen: {wanted:?}"));
}

/// Waits for an event and for what was started with it.
async fn after<T>(events: &mut EventStream, wanted: &Event, act: impl Future<Output = T>) -> T {
    assert_eq!(events.next().await, Some(Event::Resync), "every stream begins so");
    let done = act.await;
    seen(events, wanted).await;
    done
}

async fn says_who_it_is(lab: &Lab<'_>) {
    let version = lab.runtime.version().await.unwrap();
    assert_eq!(version.api_version, "v1");
    assert!(version.node_info().contains("://"), "{version:?}");
    let status = lab.runtime.status().await.unwrap();
    let ready: Vec<_> = status.conditions.iter().filter(|c| c.status).map(|c| c.r#type.as_str()).collect();
    assert_eq!(ready, ["RuntimeReady", "NetworkReady"]);
    match lab.runtime.cgroup_driver().await {
        Ok(_) | Err(Error::Unimplemented(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn sandboxes_live_and_die(lab: &Lab<'_>) {
    let pod = lab.pod("life").await;
    let status = lab.runtime.pod_sandbox_status(&pod.sandbox).await.unwrap();
    assert_eq!(status.state(), v1::PodSandboxState::SandboxReady);
    assert_eq!(status.metadata, pod.config.metadata);
    assert_eq!(status.labels, pod.config.labels);
    assert!(!status.network.unwrap().ip.is_empty());
    assert!(status.created_at > 0);

    let mut events = lab.runtime.events();
    let exited = Event::Changed { id: pod.sandbox.clone(), change: Change::Exited };
    after(&mut events, &exited, lab.runtime.stop_pod_sandbox(&pod.sandbox)).await.unwrap();
    let status = lab.runtime.pod_sandbox_status(&pod.sandbox).await.unwrap();
    assert_eq!(status.state(), v1::PodSandboxState::SandboxNotready);
    let create = lab.runtime.create_container(&pod.sandbox, pod.spec("late", RUNS), pod.config.clone());
    assert!(create.await.is_err(), "a stopped sandbox takes no container");
    // Stopping again is nothing.
    lab.runtime.stop_pod_sandbox(&pod.sandbox).await.unwrap();
    pod.remove().await;
}

async fn names_are_taken_once(lab: &Lab<'_>) {
    let pod = lab.pod("names").await;
    let again = lab.runtime.run_pod_sandbox(pod.config.clone(), "").await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    pod.container("a", RUNS).await;
    let again = lab.runtime.create_container(&pod.sandbox, pod.spec("a", RUNS), pod.config.clone()).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    let mut other = pod.spec("b", RUNS);
    other.image = Some(v1::ImageSpec { image: "docker.io/library/absent:latest".to_owned(), ..Default::default() });
    let absent = lab.runtime.create_container(&pod.sandbox, other, pod.config.clone()).await;
    assert!(matches!(absent, Err(Error::NotFound(_))), "{absent:?}");
    pod.remove().await;
}

async fn containers_live_and_die(lab: &Lab<'_>) {
    let pod = lab.pod("containers").await;
    let id = pod.container("a", OBEYS_TERM).await;
    let status = lab.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state(), v1::ContainerState::ContainerCreated);
    assert_eq!(status.image.as_ref().unwrap().image, "docker.io/library/busybox:latest");

    lab.runtime.start_container(&id).await.unwrap();
    let status = lab.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state(), v1::ContainerState::ContainerRunning);
    assert!(status.started_at >= status.created_at);
    assert!(status.log_path.ends_with("/a/0.log"), "{}", status.log_path);
    assert!(lab.runtime.start_container(&id).await.is_err(), "it is started already");
    let stats = lab.runtime.container_stats(&id).await.unwrap();
    assert_eq!(stats.attributes.unwrap().id, id);

    lab.runtime.remove_container(&id).await.unwrap();
    assert!(lab.runtime.container_status(&id).await.unwrap_err().is_not_found());
    pod.remove().await;
}

async fn exits_are_told(lab: &Lab<'_>) {
    let pod = lab.pod("exits").await;
    let id = pod.container("a", EXIT_3).await;
    let mut events = lab.runtime.events();
    let exited = Event::Changed { id: id.clone(), change: Change::Exited };
    after(&mut events, &exited, lab.runtime.start_container(&id)).await.unwrap();
    // Who is told of an exit may ask at once.
    let status = lab.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state(), v1::ContainerState::ContainerExited);
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.finished_at >= status.started_at);
    pod.remove().await;
}

async fn stopping_asks_first(lab: &Lab<'_>) {
    let pod = lab.pod("stops").await;
    let check = async |name: &str, script: &str, grace: u64, code: i32| {
        let id = pod.started(name, script).await;
        // The shell has set its trap once it answers for anything at all that came after.
        let ready = vec!["sh".to_owned(), "-c".to_owned(), "sleep 0.3".to_owned()];
        lab.runtime.exec_sync(&id, ready, Duration::ZERO).await.unwrap();
        lab.runtime.stop_container(&id, Duration::from_secs(grace)).await.unwrap();
        let status = lab.runtime.container_status(&id).await.unwrap();
        assert_eq!(status.state(), v1::ContainerState::ContainerExited, "{name}");
        assert_eq!(status.exit_code, code, "{name}");
        // Stopping what has stopped is nothing.
        lab.runtime.stop_container(&id, Duration::from_secs(grace)).await.unwrap();
    };
    check("obeys", OBEYS_TERM, 30, 5).await;
    check("ignores", IGNORES_TERM, 1, 137).await;
    check("killed", OBEYS_TERM, 0, 137).await;
    pod.remove().await;
}

async fn filters_select(lab: &Lab<'_>) {
    let (one, two) = (lab.pod("one").await, lab.pod("two").await);
    let (a, b) = (one.started("a", RUNS).await, two.container("b", RUNS).await);
    let ids = async |filter: v1::ContainerFilter| {
        let mut ids: Vec<_> =
            lab.runtime.list_containers(Some(filter)).await.unwrap().into_iter().map(|c| c.id).collect();
        ids.sort();
        ids
    };
    let mut both = vec![a.clone(), b.clone()];
    both.sort();
    assert_eq!(ids(v1::ContainerFilter::default()).await, both);
    let of = |sandbox: &str| v1::ContainerFilter { pod_sandbox_id: sandbox.to_owned(), ..Default::default() };
    assert_eq!(ids(of(&one.sandbox)).await, std::slice::from_ref(&a));
    let running = v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning.into() };
    assert_eq!(ids(v1::ContainerFilter { state: Some(running), ..Default::default() }).await, std::slice::from_ref(&a));
    let labels = [("container".to_owned(), "b".to_owned())].into();
    assert_eq!(ids(v1::ContainerFilter { label_selector: labels, ..Default::default() }).await, [b]);
    assert_eq!(ids(v1::ContainerFilter { id: a.clone(), ..Default::default() }).await, [a]);

    let labels = [("pod".to_owned(), "two".to_owned())].into();
    let filter = v1::PodSandboxFilter { label_selector: labels, ..Default::default() };
    let found = lab.runtime.list_pod_sandboxes(Some(filter)).await.unwrap();
    assert_eq!(found.into_iter().map(|s| s.id).collect::<Vec<_>>(), std::slice::from_ref(&two.sandbox));
    one.remove().await;
    two.remove().await;
}

async fn exec_answers(lab: &Lab<'_>) {
    let pod = lab.pod("exec").await;
    let id = pod.started("a", RUNS).await;
    let script = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let output = lab.runtime.exec_sync(&id, script("echo out; echo err >&2; exit 4"), PATIENCE).await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.exit_code, 4);
    let request = v1::ExecRequest { container_id: id.clone(), cmd: script("id"), stdout: true, ..Default::default() };
    assert!(lab.runtime.exec(request.clone()).await.unwrap().starts_with("http://"));
    lab.runtime.remove_container(&id).await.unwrap();
    assert!(lab.runtime.exec_sync(&id, script("id"), PATIENCE).await.unwrap_err().is_not_found());
    assert!(lab.runtime.exec(request).await.is_err());
    pod.remove().await;
}

async fn what_is_gone_is_gone(lab: &Lab<'_>) {
    let nobody = "0".repeat(64);
    lab.runtime.stop_container(&nobody, Duration::from_secs(1)).await.unwrap();
    lab.runtime.remove_container(&nobody).await.unwrap();
    lab.runtime.stop_pod_sandbox(&nobody).await.unwrap();
    lab.runtime.remove_pod_sandbox(&nobody).await.unwrap();
    lab.runtime.remove_image("docker.io/library/absent:latest").await.unwrap();
    assert!(lab.runtime.container_status(&nobody).await.unwrap_err().is_not_found());
    assert!(lab.runtime.pod_sandbox_status(&nobody).await.unwrap_err().is_not_found());
    assert!(lab.runtime.start_container(&nobody).await.unwrap_err().is_not_found());
}

async fn images_are_named(lab: &Lab<'_>) {
    let image = lab.runtime.image_status("busybox").await.unwrap().expect("the lab has it");
    assert!(image.repo_tags.contains(&"docker.io/library/busybox:latest".to_owned()), "{image:?}");
    assert_eq!(lab.runtime.image_status("absent").await.unwrap(), None);
    assert!(lab.runtime.list_images().await.unwrap().iter().any(|other| other.id == image.id));
    assert!(!lab.runtime.image_fs_info().await.unwrap().image_filesystems.is_empty());
}

async fn removing_a_sandbox_takes_all(lab: &Lab<'_>) {
    let pod = lab.pod("all").await;
    let id = pod.started("a", RUNS).await;
    lab.runtime.stop_pod_sandbox(&pod.sandbox).await.unwrap();
    let status = lab.runtime.container_status(&id).await.unwrap();
    assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 137));
    pod.remove().await;
    assert!(lab.runtime.container_status(&id).await.unwrap_err().is_not_found());
    assert_eq!(lab.runtime.list_containers(None).await.unwrap(), []);
    assert_eq!(lab.runtime.list_pod_sandboxes(None).await.unwrap(), []);
}
