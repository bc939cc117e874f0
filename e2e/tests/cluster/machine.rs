//! A machine of its own for a test: a process in new network, mount and host-name namespaces, in which the system's
//! directories are copied on write.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{
    built,
    shell::{Output, Shell},
};

const LIMIT: Duration = Duration::from_secs(120);

/// The namespaces are there when it says so, and go with it.
const MACHINE: &str = r#"
hostname "$0" && ip link set lo up || exit 1
for d in etc opt usr/local var; do
    mkdir -p "$1/upper/$d" "$1/work/$d"
    mount -t overlay overlay -o "lowerdir=/$d,upperdir=$1/upper/$d,workdir=$1/work/$d" "/$d" || exit 1
done
mount -t tmpfs tmpfs /run || exit 1
mkdir -p "$1/containerd" /var/lib/kogge-containerd
mount --bind "$1/containerd" /var/lib/kogge-containerd || exit 1
rm -rf /etc/kogge /etc/cni /opt/cni
echo ready
exec sleep infinity
"#;

pub struct Machine {
    name: String,
    dir: PathBuf,
    /// Above those of its pods.
    cgroup: String,
    holder: Child,
    units: Vec<Child>,
    shell: Shell,
}

impl Machine {
    /// All of it lies in a folder of its name in `dir`.
    pub fn start(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let cgroup = format!("/{}-{name}", dir.file_name().context("a name")?.to_string_lossy());
        let dir = dir.join(name);
        fs::create_dir_all(&dir)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--uts", "--propagation=private", "sh", "-c", MACHINE, name]).arg(&dir);
        let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run unshare")?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut said)?;
        let shell = Shell::default().with("BIN", built::bin_dir()).with("KUBECONFIG", "/etc/kogge/admin.kubeconfig");
        let machine = Self { name: name.to_owned(), dir, cgroup, holder, units: vec![], shell };
        ensure!(said.trim() == "ready", "{name} has not become a machine");
        Ok(machine)
    }

    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a line with `sh` on the machine.
    pub fn run(&self, line: &str) -> anyhow::Result<Output> {
        let shell = self.shell.clone().with("LINE", line);
        shell.run(
            &format!("exec nsenter --mount --net --uts --target={} --wdns=\"$PWD\" sh -c \"$LINE\"", self.pid()),
            LIMIT,
        )
    }

    /// As [`run`](Self::run); anything but exit code 0 is an error that shows the output.
    pub fn ok(&self, line: &str) -> anyhow::Result<String> {
        let output = self.run(line)?;
        ensure!(
            output.code == 0,
            "{}: exit code {} of: {line}\n{}{}",
            self.name,
            output.code,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    /// Runs the services that `init` or `join` have named, as systemd would.
    pub fn run_units(&mut self, said: &str) -> anyhow::Result<()> {
        let line = said.lines().find_map(|line| line.trim().strip_prefix("systemctl enable --now "));
        let units = line.context("it does not say what to start")?;
        self.keep_apart()?;
        for unit in units.split_whitespace().filter(|unit| unit.ends_with(".service")) {
            self.run_unit(unit).with_context(|| format!("{}: {unit}", self.name))?;
        }
        Ok(())
    }

    /// Gives the kubelet cgroups of its own: machines of a test share this kernel's. `init` writes the file anew.
    pub fn keep_apart(&self) -> anyhow::Result<()> {
        let own = format!("s|^cgroupRoot: /$|cgroupRoot: {}|", self.cgroup);
        self.ok(&format!("sed -i '{own}' /etc/kogge/kubelet.yaml")).map(drop)
    }

    /// With the command line of the unit's file, word for word.
    fn run_unit(&mut self, name: &str) -> anyhow::Result<()> {
        let text = self.ok(&format!("cat /etc/systemd/system/{name}"))?.replace("\\\n", " ");
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        for (key, parent) in [("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib")] {
            if let Some(directory) = value(key) {
                self.ok(&format!("mkdir -p -m 700 {parent}/{directory}"))?;
            }
        }
        let environment = value("EnvironmentFile").map(|file| self.ok(&format!("cat {file}"))).transpose()?;
        let variables: BTreeMap<&str, &str> =
            environment.iter().flat_map(|text| text.lines()).filter_map(|line| line.split_once('=')).collect();
        let expanded = |word: &str| match word.strip_prefix('$') {
            Some(name) => {
                let words = variables.get(name).copied().unwrap_or_default().trim_matches('"');
                words.split_whitespace().map(str::to_owned).collect()
            }
            None => vec![word.to_owned()],
        };
        let words = value("ExecStart").context("no ExecStart")?.split_whitespace().flat_map(expanded);
        let log = File::create(self.dir.join(format!("{name}.log")))?;
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", "--uts"]).arg(format!("--target={}", self.pid())).args(words);
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        if value("Type") == Some("oneshot") {
            ensure!(child.wait()?.success(), "it has failed");
        } else {
            self.units.push(child);
        }
        Ok(())
    }

    /// What the units have said, the end of it.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for file in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let said = fs::read_to_string(&path).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                text.push_str(&format!("--- {}\n", path.display()));
                last.iter().rev().for_each(|line| text.push_str(&format!("{line}\n")));
            }
        }
        text
    }

    /// Ends the units; containers run on.
    pub fn stop(&mut self) {
        for mut unit in self.units.drain(..).rev() {
            unit.kill().ok();
            unit.wait().ok();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
