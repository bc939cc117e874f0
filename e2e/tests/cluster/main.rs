//! A real cluster, used the way people use one. Needs root and a machine without another cluster on it.
//!
//! `cargo test -p e2e --test cluster -- NAME` runs the scenarios whose name holds NAME.
//! `KOGGE_KEEP=1` leaves the cluster up afterwards.

mod batch;
mod daemons;
mod examples;
mod faults;
mod install;
mod kube_rs;
mod kubectl;
mod kubelet;
mod load;
mod machine;
mod network;
mod nodes;
mod observe;
mod placement;
mod programs;
mod pulls;
mod stateful;
mod workloads;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use e2e::{built, scenario, shell::Shell};

/// The running cluster.
pub struct Cluster {
    pub dir: PathBuf,
    pub kctl: PathBuf,
    /// With `KCTL`, `KUBECTL` and `KUBECONFIG` set.
    pub shell: Shell,
}

impl Cluster {
    fn up(nodes: usize) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("kogge-e2e-{}", std::process::id()));
        let kctl = built::binary("kctl")?;
        let kubeconfig = dir.join("admin.kubeconfig");
        let shell = Shell::default().with("KCTL", &kctl).with("KUBECONFIG", &kubeconfig).with("DIR", &dir);
        let cluster = Self { dir, kctl, shell };
        print!(
            "{}",
            cluster
                .shell
                .ok_within(&format!("$KCTL cluster up --dir $DIR --nodes {nodes}"), Duration::from_secs(120))?
        );
        Ok(cluster)
    }

    fn down(&self) -> anyhow::Result<()> {
        self.shell.ok_within("$KCTL cluster down --purge --dir $DIR", Duration::from_secs(120)).map(drop)
    }
}

fn main() -> ExitCode {
    if !is_root() {
        println!("these tests make network namespaces and containers and need root: none was run");
        println!("0 passed, 0 failed");
        return ExitCode::SUCCESS;
    }
    let cluster = match Cluster::up(3) {
        Ok(cluster) => cluster,
        Err(error) => {
            println!("test cluster::up ... FAILED\n{error:#}\n0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let mut scenarios = vec![];
    scenarios.extend(workloads::scenarios());
    scenarios.extend(batch::scenarios());
    scenarios.extend(examples::scenarios());
    scenarios.extend(stateful::scenarios());
    scenarios.extend(daemons::scenarios());
    scenarios.extend(network::scenarios());
    scenarios.extend(kubectl::scenarios());
    scenarios.extend(programs::scenarios());
    scenarios.extend(pulls::scenarios());
    scenarios.extend(observe::scenarios());
    scenarios.extend(placement::scenarios());
    scenarios.extend(kubelet::scenarios());
    scenarios.extend(nodes::scenarios());
    scenarios.extend(faults::scenarios());
    scenarios.extend(install::scenarios());
    let code = scenario::run_all(&cluster, scenarios);
    if std::env::var_os("KOGGE_KEEP").is_some() {
        println!("the cluster stays: KUBECONFIG={}", cluster.dir.join("admin.kubeconfig").display());
        return code;
    }
    let down = || {
        let id = faults::id(&cluster)?;
        cluster.down()?;
        faults::nothing_left(&cluster, &id)
    };
    match down() {
        Ok(()) => code,
        Err(error) => {
            println!("test cluster::down ... FAILED\n{error:#}\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0")))
}
