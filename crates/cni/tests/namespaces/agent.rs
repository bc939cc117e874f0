//! The agent on two nodes that only a router joins, against an API server that knows nodes and nothing else.

use std::convert::Infallible;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cni::agent;
use component::Shutdown;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::node::Node;

const PATIENCE: Duration = Duration::from_secs(30);

fn object(number: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{number}"), "uid": number.to_string(), "resourceVersion": "5"},
        "spec": {"podCIDR": format!("10.244.{number}.0/24")},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("172.30.{number}.2")}]},
    })
}

/// A client of an API server that lists two nodes, and whose watch says what comes along the channel.
fn client(changes: mpsc::UnboundedReceiver<Value>) -> kube::Client {
    let changes = Arc::new(Mutex::new(Some(changes)));
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let changes = changes.clone();
        async move {
            let body: BoxBody<Bytes, Infallible> = match request
                .uri()
                .query()
                .unwrap_or_default()
                .contains("watch=true")
            {
                false => {
                    let items = [object(1), object(2)];
                    let list = json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items});
                    Full::from(list.to_string()).boxed()
                }
                true => {
                    let changes = changes.lock().unwrap().take();
                    let lines = futures::stream::unfold(changes, |mut changes| async move {
                        let Some(receiver) = changes.as_mut() else { std::future::pending().await };
                        let change: Option<Value> = receiver.recv().await;
                        Some((Ok(Frame::data(Bytes::from(change?.to_string() + "\n"))), changes))
                    });
                    SyncBody(Mutex::new(Box::pin(StreamBody::new(lines)))).boxed()
                }
            };
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    client::from_service(service)
}

type Lines = std::pin::Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>>;

/// A body that may be shared, because a lock lets one in at a time.
struct SyncBody(Mutex<Lines>);

impl http_body::Body for SyncBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.lock().unwrap().as_mut().poll_frame(context)
    }
}

/// Runs the agent of a node on a thread inside its namespace.
fn start(
    node: &Node,
    number: u8,
    changes: mpsc::UnboundedReceiver<Value>,
    shutdown: Shutdown,
) -> std::thread::JoinHandle<()> {
    let namespace = File::open(node.path("node")).unwrap();
    let config = config(node, number);
    std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { agent::run_with(client(changes), config, shutdown).await }).unwrap();
    })
}

fn config(node: &Node, number: u8) -> agent::Config {
    agent::Config {
        kubeconfig: None,
        node_name: format!("node-{number}"),
        conf_dir: node.dir.join("conf"),
        state_dir: node.dir.join("state"),
        table_prefix: "koggetest".to_owned(),
        mtu: None,
        cleanup: false,
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits for the agent's configuration, and makes of it what the runtime gives to the plugin.
fn conf(node: &Node) -> Value {
    let path = node.dir.join("conf/10-kogge.conflist");
    until("a configuration", || path.exists());
    let list: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut plugin = list["plugins"][0].clone();
    plugin["cniVersion"] = list["cniVersion"].clone();
    plugin["name"] = list["name"].clone();
    plugin
}

#[test]
fn pods_of_far_nodes_reach_each_other_through_the_tunnel() {
    let (Some(mut one), Some(mut two)) = (Node::new("tunnel-1"), Node::new("tunnel-2")) else { return };
    one.namespace("router");
    one.run("router", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    for (number, node) in [(1, &one), (2, &two)] {
        let node_path = node.path("node");
        let link = format!(
            "ip link add r{number} type veth peer name uplink netns {}; ip addr add 172.30.{number}.1/24 dev r{number}; \
             ip link set r{number} up",
            node_path.display()
        );
        one.run("router", &link);
        node.run("node", &format!(
            "ip addr add 172.30.{number}.2/24 dev uplink; ip link set uplink up; ip route add default via 172.30.{number}.1"
        ));
    }
    // A new namespace may have it from the first one.
    one.run("node", "echo 0 > /proc/sys/net/ipv4/ip_forward");
    let shutdown = Shutdown::new();
    let (changes, receiver) = mpsc::unbounded_channel();
    let (_silent, never) = mpsc::unbounded_channel();
    let agents = [start(&one, 1, receiver, shutdown.clone()), start(&two, 2, never, shutdown.clone())];

    let (conf_one, conf_two) = (conf(&one), conf(&two));
    assert_eq!(conf_one["mtu"], 1450);
    one.namespace("a");
    two.namespace("b");
    let a = one.must("ADD", "a", &conf_one)["ips"][0]["address"].as_str().unwrap().replace("/32", "");
    let b = two.must("ADD", "b", &conf_two)["ips"][0]["address"].as_str().unwrap().replace("/32", "");
    one.run("a", &format!("busybox ping -c 1 -W 5 {b}"));
    two.run("b", &format!("busybox ping -c 1 -W 5 {a}"));
    // A pod's packets to the world come from the node: the router knows no way to pods.
    one.run("a", "busybox ping -c 1 -W 5 172.30.1.1");
    one.run("a", "busybox ping -c 1 -W 5 172.30.2.2");

    assert!(one.run("node", "ip route").contains("10.244.2.0/24"));
    // Somebody removes a route: it comes back.
    one.run("node", "ip route del 10.244.2.0/24");
    until("the route again", || one.run("node", "ip route").contains("10.244.2.0/24"));
    // A node goes, and so does everything of it.
    changes.send(json!({"type": "DELETED", "object": object(2)})).unwrap();
    until("no route", || !one.run("node", "ip route").contains("10.244.2.0/24"));
    until("no tunnel", || !one.run("node", "ip link").contains("koggetest-vxlan"));

    shutdown.begin();
    for agent in agents {
        agent.join().unwrap();
    }
    let cleanup = one
        .within("node")
        .args([crate::node::PLUGIN, "agent", "--cleanup", "--table-prefix", "koggetest"])
        .arg(format!("--conf-dir={}", one.dir.join("conf").display()))
        .arg(format!("--state-dir={}", one.dir.join("state").display()))
        .output();
    let cleanup = cleanup.unwrap();
    assert!(cleanup.status.success(), "{}", String::from_utf8_lossy(&cleanup.stderr));
    assert_eq!(one.run("node", "ip route; nft list tables").matches("10.244").count(), 0);
    assert!(!one.run("node", "nft list tables").contains("koggetest"));
    assert!(!one.run("node", "ip link").contains("koggep"));
    assert_eq!(one.run("node", "cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    assert!(!one.dir.join("state").exists());
}
