//! containerd under the suite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cri::testing::PrivateContainerd;
use cri::{Change, Event, PullFailure, Runtime as _};
use futures::StreamExt as _;

use crate::suite::{self, Lab};

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../out/images/{name}.tar"))
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_keeps_the_contract() {
    if std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)).unwrap() != 0 {
        eprintln!("skipped: needs root");
        return;
    }
    let dir = std::env::temp_dir().join(format!("kogge-cri-{}", std::process::id()));
    let containerd = PrivateContainerd::start(&dir, "docker.io/kogge/pause:latest").await.unwrap();
    let runtime = containerd.runtime.clone();

    let imported = runtime.import_image(&archive("pause")).await.unwrap();
    assert_eq!(imported, ["docker.io/kogge/pause:latest"]);
    runtime.import_image(&archive("busybox")).await.unwrap();
    // A second import changes nothing.
    runtime.import_image(&archive("busybox")).await.unwrap();

    let lab = Lab { runtime: &runtime, logs: dir.join("logs"), cgroup_parent: containerd.cgroup_parent.clone() };
    suite::run(&lab).await;
    logs_reach_their_file(&lab).await;
    registries_that_fail_say_so(&lab).await;
    containerd.stop().await.unwrap();
}

/// Only a real runtime writes logs; the kubelet reads this format.
async fn logs_reach_their_file(lab: &Lab<'_>) {
    let pod = lab.pod("logs").await;
    let id = pod.container("a", "echo to stdout; echo to stderr >&2").await;
    let mut events = lab.runtime.events();
    lab.runtime.start_container(&id).await.unwrap();
    suite::seen(&mut events, &Event::Changed { id: id.clone(), change: Change::Exited }).await;
    let path = lab.runtime.container_status(&id).await.unwrap().log_path;
    let log = async {
        loop {
            let log = std::fs::read_to_string(&path).unwrap();
            if log.lines().count() == 2 {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let log = tokio::time::timeout(Duration::from_secs(10), log).await.unwrap();
    assert!(log.contains(" stdout F to stdout\n"), "{log}");
    assert!(log.contains(" stderr F to stderr\n"), "{log}");
    pod.remove().await;
}

async fn registries_that_fail_say_so(lab: &Lab<'_>) {
    let check = async |image: &str, want: PullFailure| match lab.runtime.pull_image(image, None, None).await {
        Err(cri::Error::ImagePull { cause, message, .. }) => assert_eq!(cause, want, "{image}: {message}"),
        other => panic!("{image}: {other:?}"),
    };
    check("127.0.0.1:1/nothing/there:v1", PullFailure::RegistryUnavailable).await;
    check("Not/A/Name", PullFailure::InvalidName).await;
    assert!(lab.runtime.events().next().await.is_some());
}
