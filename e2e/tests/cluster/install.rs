//! `kctl cluster init` and `join`, as on two machines: each a namespace with its own files, network and host name. systemd
//! does not run there, so the units' own command lines are started by hand.
//!
//! What systemd would add (its sandbox, and restarts) is not tested here; `systemd-analyze verify` reads the units.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, ensure};
use e2e::{built, scenario::Scenario, shell::Shell, wait};

use crate::{Cluster, machine::Machine};

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![
        Scenario::new("install::units_are_sound", units_are_sound),
        Scenario::new("install::init_and_join", |_| init_and_join()),
    ]
}

/// As `make install` does.
const INSTALL: &str = r#"
mkdir -p /usr/local/bin /usr/local/share/kogge /etc/systemd/system
rm -rf /usr/local/bin/kctl /usr/local/bin/kogge-* /usr/local/share/kogge/images
cp "$BIN/kctl" "$BIN/kogge-cni" /usr/local/bin
for name in apiserver controller-manager scheduler kubelet proxy; do ln -s "$BIN/kogge-$name" /usr/local/bin; done
ln -s "$PWD/out/images" /usr/local/share/kogge/images
cp deploy/systemd/* /etc/systemd/system
"#;

fn units_are_sound(c: &Cluster) -> anyhow::Result<()> {
    // The units name installed programs, which need not be there for their form to be judged.
    let dir = c.dir.join("e2e-units");
    fs::create_dir_all(&dir)?;
    for unit in fs::read_dir(built::root().join("deploy/systemd"))? {
        let unit = unit?;
        let text =
            fs::read_to_string(unit.path())?.replace("/usr/local/bin/", &format!("{}/", built::bin_dir().display()));
        fs::write(dir.join(unit.file_name()), text)?;
    }
    let said = c.shell.ok(&format!("systemd-analyze verify {}/kogge-* 2>&1", dir.display()))?;
    ensure!(said.trim().is_empty(), "{said}");
    Ok(())
}

fn init_and_join() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("kogge-install-{}", std::process::id()));
    let outcome = machines(&dir);
    let shell = Shell::default().with("DIR", &dir);
    let name = dir.file_name().context("a name")?.to_string_lossy().into_owned();
    // The pods' cgroups are outside of every namespace.
    let cgroups = format!("find /sys/fs/cgroup -depth -type d -path '*/{name}*' -exec rmdir {{}} +");
    let cleaned = shell.ok(&format!("rm -rf --one-file-system $DIR; {cgroups}"));
    outcome.and(cleaned.map(drop))
}

fn machines(dir: &Path) -> anyhow::Result<()> {
    let mut first = Machine::start(dir, "hulk")?;
    let mut second = Machine::start(dir, "holk")?;
    first.ok(&format!("ip link add eth0 type veth peer name eth0 netns {}", second.pid()))?;
    for (machine, address) in [(&first, "10.77.0.1"), (&second, "10.77.0.2")] {
        machine.ok(&format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up"))?;
        machine.ok(INSTALL)?;
    }
    let outcome = cluster(&mut first, &mut second);
    let logs = if outcome.is_err() { format!("{}{}", first.logs(), second.logs()) } else { String::new() };
    first.stop();
    second.stop();
    outcome.with_context(|| logs)?;
    for machine in [&first, &second] {
        machine.ok("kctl cluster down --purge")?;
        let left = machine
            .ok("ls -d /etc/kogge /var/lib/kogge-etcd /var/lib/kubelet /run/kogge-* /opt/cni/bin/* 2>/dev/null; \
             nft list tables; ip -o link | grep kogge; ip route | grep -v '10.77'; true")?;
        ensure!(left.trim().is_empty(), "left behind:\n{left}");
    }
    Ok(())
}

fn cluster(first: &mut Machine, second: &mut Machine) -> anyhow::Result<()> {
    let said = first.ok("kctl cluster init --advertise-address=10.77.0.1")?;
    first.run_units(&said)?;
    first.ok("kctl cluster addons && kctl wait node/hulk --for=condition=Ready --timeout=60s")?;
    let join = first.ok("kctl cluster token create --print-join-command")?;
    let (head, _) = join.trim_end().rsplit_once(' ').context("no hash in the command")?;
    let refused = second.run(&format!("{head} sha256:{}", "0".repeat(64)))?;
    ensure!(refused.code != 0 && refused.stderr.contains("none of the public keys"), "{refused:?}");
    let said = second.ok(&join)?;
    second.run_units(&said)?;
    first.ok("kctl wait node/holk --for=condition=Ready --timeout=60s")?;
    let issued = first.ok("kctl get csr --no-headers")?;
    ensure!(issued.lines().count() == 4 && issued.lines().all(|line| line.contains("Approved,Issued")), "{issued}");
    a_pod_runs(first, second)?;
    // A second look changes nothing, and a certificate that is missing comes back.
    ensure!(first.ok("kctl cluster renew")?.contains("no certificate"));
    ensure!(second.ok("rm /etc/kogge/pki/proxy.crt && kctl cluster renew")?.contains("1 certificates made"));
    first.ok("kctl cluster init")?;
    first.keep_apart()?;
    // A token that is deleted lets nobody in.
    let token = join.split_whitespace().skip_while(|word| *word != "--token").nth(1).context("no token")?;
    let asks = format!("kctl get csr --kubeconfig=/etc/kogge/kubelet.kubeconfig --token={token}");
    second.ok(&asks)?;
    first.ok(&format!("kctl cluster token delete {token}"))?;
    let gone = second.run(&asks)?;
    ensure!(gone.stderr.contains("Unauthorized"), "{gone:?}");
    Ok(())
}

const THERE: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "there", "labels": {"app": "there"}}, "spec": {
    "nodeName": "holk", "containers": [{"name": "hello", "image": "docker.io/kogge/hello:latest", "imagePullPolicy": "IfNotPresent",
    "ports": [{"containerPort": 8080}]}]}}"#;

/// On the machine that joined, reached through a Service from the other; and its kubelet answers the API server.
fn a_pod_runs(first: &Machine, second: &Machine) -> anyhow::Result<()> {
    let socket = "unix:///run/kogge-containerd/containerd.sock";
    second.ok(&format!("kctl cluster image import --endpoint={socket} /usr/local/share/kogge/images/hello.tar"))?;
    first.ok(&format!("echo '{THERE}' | kctl apply -f -"))?;
    first.ok(
        "kctl wait pod/there --for=condition=Ready --timeout=60s && kctl expose pod there --port=80 --target-port=8080",
    )?;
    wait::until("the service answers", Duration::from_secs(10), || {
        let said = first.ok("curl -sf -m 2 http://$(kctl get service there -o 'jsonpath={.spec.clusterIP}')/")?;
        ensure!(said.contains("Hello from there"), "{said}");
        Ok(())
    })?;
    ensure!(first.ok("kctl logs there")?.contains("listens"));
    Ok(())
}
