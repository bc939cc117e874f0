//! Logs that grow are set aside and compressed; who follows one misses nothing.

use std::time::Duration;

use anyhow::ensure;
use e2e::{scenario::Scenario, wait};

use super::{configured, file};
use crate::Cluster;

pub fn scenarios() -> Vec<Scenario<Cluster>> {
    vec![Scenario::new("kubelet::rotates_logs", run)]
}

/// 4,001 numbered lines of 64 bytes within some ten seconds.
const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  nodeName: node-3
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - |
      echo "0 begins"
      until [ -e /go ]; do sleep 0.1; done
      i=0
      while [ $i -lt 4000 ]; do
        i=$((i+1))
        echo "$i ............................................................"
        [ $((i % 100)) -ne 0 ] || sleep 0.3
      done
"#;

fn run(c: &Cluster) -> anyhow::Result<()> {
    let small = "containerLogMaxSize: 64Ki\ncontainerLogMaxFiles: 3\ncontainerLogMonitorInterval: 1s\n";
    configured(c, small, || {
        c.shell.ok(&format!("kubectl apply -f - <<'END'\n{POD}\nEND"))?;
        c.shell.ok("kubectl wait pod/talker --for=condition=Ready --timeout=30s")?;
        // It talks once somebody listens.
        let followed = c.shell.ok("out=$(mktemp); kubectl logs -f talker >$out & follow=$!; \
             until grep -q begins $out; do sleep 0.1; done; kubectl exec talker -- touch /go; \
             wait $follow; cat $out; rm $out")?;
        let numbers: Vec<&str> = followed.lines().filter_map(|line| line.split(' ').next()).collect();
        ensure!(numbers.len() == 4001, "{} lines were seen", numbers.len());
        ensure!(numbers.iter().enumerate().all(|(at, number)| *number == at.to_string()), "in order");
        let names = format!("ls {}/default_talker_*/main", file(c, "pod-logs").display());
        wait::until("two old files, one of them compressed", Duration::from_secs(15), || {
            let names = c.shell.ok(&names)?;
            let old: Vec<&str> = names.lines().filter(|name| name.starts_with("0.log.")).collect();
            let compressed = old.iter().filter(|name| name.ends_with(".gz")).count();
            ensure!((old.len(), compressed) == (2, 1), "{names}");
            Ok(())
        })?;
        // What is shown without following begins where the last file does.
        ensure!(c.shell.ok("kubectl logs talker")?.lines().count() < 4001);
        c.shell.ok("kubectl delete pod talker --grace-period=1")?;
        wait::until("the logs are gone", Duration::from_secs(15), || {
            ensure!(c.shell.run(&names, Duration::from_secs(5))?.code != 0);
            Ok(())
        })
        .map(drop)
    })
}
