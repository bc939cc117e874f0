//! `kctl cluster init`: makes this machine the first of a cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::files::{ADMIN, PKI};
use super::record::{ClusterSettings, Etcd, Installation, NodeSettings, PORT, Role, Root};
use super::{Installed, addons, step, tokens, units, write};
use crate::config::CgroupDriver;
use crate::processes::Gate;
use crate::progress::Progress;
use crate::{dns_probe, gate, machine, up};

/// The choices of `init`. What is `None` stays as an earlier `init` chose it, or takes its default.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// What stands for `/`.
    pub root: PathBuf,
    pub advertise_address: Option<Ipv4Addr>,
    /// `HOST[:PORT]` under which other machines reach the API servers, if not the advertised address.
    pub control_plane_endpoint: Option<String>,
    pub pod_cidr: Option<String>,
    pub service_cidr: Option<String>,
    pub service_dns_domain: Option<String>,
    pub node_name: Option<String>,
    pub cert_extra_sans: Vec<String>,
    /// Somebody else's etcd; ours if empty.
    pub etcd_servers: Vec<String>,
    pub etcd_cafile: Option<PathBuf>,
    pub etcd_certfile: Option<PathBuf>,
    pub etcd_keyfile: Option<PathBuf>,
    pub cri_socket: Option<String>,
    pub cgroup_driver: Option<CgroupDriver>,
    /// Only write files.
    pub no_start: bool,
}

/// Writes what the units read, starts them if systemd runs here, and applies what the cluster needs.
pub async fn init(options: &InitOptions, progress: &dyn Progress) -> anyhow::Result<Installed> {
    let root = Root(options.root.clone());
    let former = Installation::load(&root)?;
    let of = decide(options, former.as_ref())?;
    let units = units::of(&of);
    let start = !options.no_start && root.is_this_machine() && units::is_running();
    if start {
        machine::require_root()?;
        units::require(&units)?;
        if former.is_none() {
            require_ports(&of)?;
        }
    }
    step(progress, "certificates and configuration", async {
        copy_etcd_files(options, &root)?;
        let made = write::control_plane_certificates_now(&root, &of)?;
        write::configuration(&root, &of)?;
        Ok(((), format!("{made} certificates made")))
    })
    .await?;
    if !start {
        return Ok(Installed { units, started: false, join: None });
    }
    step(progress, "units", async {
        units::start(&units).await?;
        Ok(((), "started".to_owned()))
    })
    .await?;
    let join = bring_up(&root, &of, progress).await?;
    Ok(Installed { units, started: true, join: Some(join) })
}

/// Waits for the parts of the cluster in the order in which they need each other.
async fn bring_up(root: &Root, of: &Installation, progress: &dyn Progress) -> anyhow::Result<String> {
    component::tls::install_provider();
    step(progress, "apiserver", async {
        gate::open(&Gate::Api(root.at(ADMIN))).await;
        Ok(((), "ready".to_owned()))
    })
    .await?;
    let client = client::connect(&root.at(ADMIN), "kctl")?;
    step(progress, "addons", async {
        addons(&client, &root.0).await?;
        Ok(((), "applied".to_owned()))
    })
    .await?;
    step(progress, &of.node.name, async {
        let state = up::node_ready(client.clone(), of.node.name.clone()).await?;
        Ok(((), state))
    })
    .await?;
    let dns = of.cluster.dns_address()?;
    step(progress, "DNS", async {
        dns_probe::answered(dns, &format!("kubernetes.default.svc.{}", of.cluster.domain)).await;
        Ok(((), format!("answers at {dns}")))
    })
    .await?;
    let token = tokens::create(&client, &tokens::NewToken::default()).await?;
    tokens::join_command(&of.cluster.server, &root.0, &token)
}

/// The options over what was decided before, over the defaults.
fn decide(options: &InitOptions, former: Option<&Installation>) -> anyhow::Result<Installation> {
    let mut of = match former {
        Some(former) if former.is_control_plane() => former.clone(),
        Some(_) => bail!("this machine has joined a cluster: `kctl cluster down --purge` takes it out of that one"),
        None => fresh(options)?,
    };
    of.node.address = options.advertise_address.unwrap_or(of.node.address);
    let node = &mut of.node;
    node.name = options.node_name.clone().unwrap_or_else(|| node.name.clone());
    node.cri_socket = options.cri_socket.clone().or_else(|| node.cri_socket.take());
    node.cgroup_driver = options.cgroup_driver.unwrap_or(node.cgroup_driver);
    if let Some(endpoint) = &options.control_plane_endpoint {
        of.cluster.server = server(endpoint);
    } else if options.advertise_address.is_some() {
        of.cluster.server = server(&of.node.address.to_string());
    }
    let fixed = [
        ("--pod-cidr", &options.pod_cidr, &of.cluster.pod_cidr),
        ("--service-cidr", &options.service_cidr, &of.cluster.service_cidr),
        ("--service-dns-domain", &options.service_dns_domain, &of.cluster.domain),
    ];
    for (flag, wanted, now) in fixed {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != now) {
            bail!("{flag}: the cluster has {now}, which cannot become {wanted} while it exists");
        }
    }
    if let Role::ControlPlane { etcd, cert_extra_sans } = &mut of.role {
        if !options.etcd_servers.is_empty() {
            *etcd = external(&options.etcd_servers)?;
        }
        if !options.cert_extra_sans.is_empty() {
            cert_extra_sans.clone_from(&options.cert_extra_sans);
        }
        require_etcd_files(options, etcd)?;
    }
    of.check()?;
    Ok(of)
}

fn fresh(options: &InitOptions) -> anyhow::Result<Installation> {
    let or = |chosen: &Option<String>, default: &str| chosen.clone().unwrap_or_else(|| default.to_owned());
    let node = node_settings(options.advertise_address, options.node_name.clone())?;
    Ok(Installation {
        role: Role::ControlPlane { etcd: Etcd::Local, cert_extra_sans: vec![] },
        cluster: ClusterSettings {
            server: server(&node.address.to_string()),
            pod_cidr: or(&options.pod_cidr, "10.244.0.0/16"),
            service_cidr: or(&options.service_cidr, "10.96.0.0/16"),
            domain: or(&options.service_dns_domain, "cluster.local"),
        },
        node,
    })
}

/// This machine as a node, unless told otherwise.
pub fn node_settings(address: Option<Ipv4Addr>, name: Option<String>) -> anyhow::Result<NodeSettings> {
    let own = || {
        machine::addresses().into_iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    };
    let address = address.or_else(own).context(
        "this machine has no default route that would tell its address: say it with --advertise-address (init) or \
         --node-ip (join)",
    )?;
    let cgroup_driver = if units::is_running() { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
    let name = name.unwrap_or_else(machine::hostname).to_lowercase();
    Ok(NodeSettings { name, address, cri_socket: None, cgroup_driver })
}

fn server(endpoint: &str) -> String {
    match endpoint.rsplit_once(':') {
        Some(_) => format!("https://{endpoint}"),
        None => format!("https://{endpoint}:{PORT}"),
    }
}

fn external(servers: &[String]) -> anyhow::Result<Etcd> {
    let of = |scheme: &str| servers.iter().all(|server| server.starts_with(scheme));
    ensure!(of("https://") || of("http://"), "--etcd-servers: URLs that all begin with https:// (or all with http://)");
    Ok(Etcd::External { servers: servers.to_vec() })
}

/// Whoever speaks TLS to somebody else's etcd needs its authority and a certificate that it accepts.
fn require_etcd_files(options: &InitOptions, etcd: &Etcd) -> anyhow::Result<()> {
    let given = etcd_files(options).iter().filter(|(from, _)| from.is_some()).count();
    let root = Root(options.root.clone());
    let there = etcd_files(options).iter().all(|(_, to)| root.at(PKI).join(to).exists());
    match etcd {
        Etcd::Local => ensure!(given == 0, "--etcd-cafile, --etcd-certfile and --etcd-keyfile go with --etcd-servers"),
        Etcd::External { .. } if etcd.has_tls() => ensure!(
            given == 3 || (given == 0 && there),
            "--etcd-servers with https needs --etcd-cafile, --etcd-certfile and --etcd-keyfile"
        ),
        Etcd::External { .. } => ensure!(given == 0, "--etcd-servers with http takes no certificates"),
    }
    Ok(())
}

fn etcd_files(options: &InitOptions) -> [(Option<&Path>, &'static str); 3] {
    [
        (options.etcd_cafile.as_deref(), "etcd-ca.crt"),
        (options.etcd_certfile.as_deref(), "apiserver-etcd-client.crt"),
        (options.etcd_keyfile.as_deref(), "apiserver-etcd-client.key"),
    ]
}

fn copy_etcd_files(options: &InitOptions, root: &Root) -> anyhow::Result<()> {
    for (from, to) in etcd_files(options) {
        let Some(from) = from else { continue };
        let text = std::fs::read_to_string(from).with_context(|| format!("reading {}", from.display()))?;
        let mode = if to.ends_with(".key") { 0o600 } else { 0o644 };
        crate::pki::write(&root.at(PKI).join(to), &text, mode)?;
    }
    Ok(())
}

/// Somebody else's etcd or Kubernetes on this machine is better told of before than after.
fn require_ports(of: &Installation) -> anyhow::Result<()> {
    if matches!(&of.role, Role::ControlPlane { etcd: Etcd::Local, .. }) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 2379));
        std::net::TcpListener::bind(address).context(
            "port 2379 is in use: an etcd runs here already. Use it with --etcd-servers, or stop it (`systemctl \
             disable --now etcd`)",
        )?;
    }
    machine::require_ports(&[PORT, 10250, 10256, 10257, 10259])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> InitOptions {
        InitOptions {
            root: "/nowhere".into(),
            advertise_address: Some(Ipv4Addr::new(192, 0, 2, 1)),
            node_name: Some("hulk".into()),
            ..InitOptions::default()
        }
    }

    fn check(options: &InitOptions, former: Option<&Installation>, expected: &str) {
        let said = match decide(options, former) {
            Ok(of) => format!("{} {} {:?}", of.cluster.server, of.cluster.pod_cidr, of.role),
            Err(error) => format!("{error:#}"),
        };
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn what_is_decided() {
        check(&options(), None, "https://192.0.2.1:6443 10.244.0.0/16 ControlPlane { etcd: Local");
        let endpoint = |endpoint: &str| InitOptions { control_plane_endpoint: Some(endpoint.into()), ..options() };
        check(&endpoint("api.example"), None, "https://api.example:6443");
        check(&endpoint("api.example:443"), None, "https://api.example:443");
        let servers = |server: &str| InitOptions { etcd_servers: vec![server.into()], ..options() };
        check(&servers("http://192.0.2.9:2379"), None, "External");
        check(&servers("https://192.0.2.9:2379"), None, "needs --etcd-cafile");
        check(&servers("192.0.2.9:2379"), None, "--etcd-servers: URLs");
    }

    #[test]
    fn what_was_decided_stays() {
        let before = decide(&InitOptions { pod_cidr: Some("10.0.0.0/16".into()), ..options() }, None).unwrap();
        check(
            &InitOptions { root: "/nowhere".into(), ..InitOptions::default() },
            Some(&before),
            "192.0.2.1:6443 10.0.0.0/16",
        );
        check(&InitOptions { pod_cidr: Some("10.1.0.0/16".into()), ..options() }, Some(&before), "cannot become 10.1");
        let worker = Installation { role: Role::Worker, ..before };
        check(&options(), Some(&worker), "has joined a cluster");
    }
}
