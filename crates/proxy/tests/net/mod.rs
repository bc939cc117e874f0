//! Network namespaces for a test, and sockets in them. A namespace is entered by a thread of its own, since sockets
//! and children belong to the namespace of the thread that makes them.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};

pub const NODE: &str = "192.168.50.1";
const TIMEOUT: Duration = Duration::from_millis(400);

pub struct Host {
    name: String,
}

impl Host {
    fn new(role: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("kp{}-{}-{role}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        local(&format!("ip netns add {name}"));
        let host = Self { name };
        host.shell("ip link set lo up");
        host
    }

    /// Runs in this host's namespace.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/run/netns/{}", self.name);
        let thread = thread::spawn(move || {
            let file = File::open(path).unwrap();
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn shell(&self, script: &str) -> String {
        let script = script.to_owned();
        self.run(move || local(&script))
    }

    /// A server that says its name and whom it sees, on TCP and UDP.
    fn serve(&self, name: &'static str, port: u16) {
        self.run(move || {
            let tcp = TcpListener::bind(("0.0.0.0", port)).unwrap();
            let udp = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            // The threads end with the test's process.
            thread::spawn(move || {
                for stream in tcp.incoming().flatten() {
                    let mut stream = stream;
                    let peer = stream.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default();
                    let _ = stream.write_all(format!("{name} sees {peer}").as_bytes());
                }
            });
            thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(format!("{name} sees {}", peer.ip()).as_bytes(), peer);
                }
            });
        });
    }

    /// One connection or one datagram from a new port; the answer, or "refused", "timed out", …
    pub fn ask(&self, address: &str, protocol: &str) -> Result<String, String> {
        let address: SocketAddr = address.parse().unwrap();
        let udp = protocol == "udp";
        self.run(move || if udp { UdpClient::new(address).ask() } else { ask_tcp(address) })
    }

    /// A client that keeps its port.
    pub fn udp_client(&self, address: &str) -> UdpClient {
        let address: SocketAddr = address.parse().unwrap();
        self.run(move || UdpClient::new(address))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn failure(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".into(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out".into(),
        _ => error.to_string(),
    }
}

fn ask_tcp(address: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|e| failure(&e))?;
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| failure(&e))?;
    Ok(answer)
}

pub struct UdpClient(UdpSocket);

impl UdpClient {
    fn new(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.connect(address).unwrap();
        Self(socket)
    }

    pub fn ask(&self) -> Result<String, String> {
        self.0.send(b"?").map_err(|e| failure(&e))?;
        let mut buffer = [0; 64];
        let length = self.0.recv(&mut buffer).map_err(|e| failure(&e))?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Keeps sending until there is an answer.
    pub fn ask_until(&self, bound: Duration) -> Result<String, String> {
        let end = Instant::now() + bound;
        loop {
            match self.ask() {
                Err(_) if Instant::now() < end => {}
                outcome => return outcome,
            }
        }
    }
}

fn local(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A node at 192.168.50.1 with pods a (10.244.0.2) and b (10.244.0.3), each on a pair of interfaces of its own, and
/// a host outside the cluster at 192.168.50.2 that goes to everything through the node.
pub struct Lab {
    pub node: Host,
    pub pods: Vec<Host>,
    pub outside: Host,
}

impl Lab {
    /// None, with the reason printed, where this cannot be done.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        let node = Host::new("node");
        let outside = Host::new("out");
        node.shell(&format!(
            "ip link add eth0 type veth peer name eth0 netns {}
             ip addr add {NODE}/24 dev eth0
             ip link set eth0 up
             ip route add default via 192.168.50.2
             echo 1 > /proc/sys/net/ipv4/ip_forward",
            outside.name
        ));
        outside.shell(&format!(
            "ip addr add 192.168.50.2/24 dev eth0
             ip link set eth0 up
             ip route add default via {NODE}"
        ));
        let pods = ["a", "b"].iter().zip(2..).map(|(name, number)| Self::pod(&node, name, number)).collect();
        Some(Self { node, pods, outside })
    }

    fn pod(node: &Host, name: &'static str, number: u8) -> Host {
        let pod = Host::new(name);
        node.shell(&format!(
            "ip link add veth-{name} type veth peer name eth0 netns {0}
             ip addr add 10.244.0.1/32 dev veth-{name}
             ip link set veth-{name} up
             ip route add 10.244.0.{number}/32 dev veth-{name} src {NODE}",
            pod.name
        ));
        pod.shell(&format!(
            "ip addr add 10.244.0.{number}/32 dev eth0
             ip link set eth0 up
             ip route add 10.244.0.1/32 dev eth0
             ip route add default via 10.244.0.1"
        ));
        pod.serve(name, 8080);
        pod
    }
}
