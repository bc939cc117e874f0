//! The CNI plugin: ADD, DEL, CHECK and VERSION of CNI 0.3.1 to 1.0.0.
//!
//! One process and one thread: a network namespace belongs to a thread, and a pod waits for this to finish. Called as
//! `loopback` (as containerd does for every pod) it sets that device up and nothing else.

mod answer;
mod config;
mod host_ports;
mod namespace;
mod pool;
mod wire;

use std::io::Read as _;

use answer::{Failure, Outcome};
use config::{Call, NetConf};

pub use config::{PluginConf, conflist};
pub use host_ports::{HOST_PORTS, remove as remove_host_ports};
pub use wire::DEVICE_PREFIX;

/// Does what `CNI_COMMAND` says, prints the answer, and returns the exit code.
pub fn main(command: &str) -> i32 {
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input);
    let outcome = match read {
        Ok(_) => run(command, &input),
        Err(error) => Err(Failure::io(&error)),
    };
    let (text, code) = match outcome {
        Ok(text) => (text, 0),
        Err(failure) => (failure.render(), 1),
    };
    println!("{text}");
    code
}

fn run(command: &str, input: &str) -> Outcome<String> {
    if command == "VERSION" {
        return Ok(answer::versions());
    }
    let conf = NetConf::parse(input)?;
    let call = Call::from_environment()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io(&error))?;
    runtime.block_on(async {
        match (command, conf.is_loopback()) {
            ("ADD", true) => wire::add_loopback(&call).await.map(|()| answer::loopback(&conf, &call)),
            ("ADD", false) => add(&conf, &call).await,
            ("DEL", true) | ("CHECK", true) => Ok(String::new()),
            ("DEL", false) => delete(&conf, &call).await.map(|()| String::new()),
            ("CHECK", false) => check(&conf, &call).await.map(|()| String::new()),
            _ => Err(Failure::environment(format!("CNI_COMMAND {command:?} is not known"))),
        }
    })
}

async fn add(conf: &NetConf, call: &Call) -> Outcome<String> {
    let plugin = conf.plugin()?;
    let pool = pool::Pool::open(&plugin)?;
    let address = pool.take(call)?;
    let made = async {
        let wired = wire::add(&plugin, call, address).await?;
        host_ports::add(&plugin, conf.port_mappings(), address).await?;
        Ok(wired)
    };
    match made.await {
        Ok(wired) => Ok(answer::added(conf, call, address, &wired)),
        Err(failure) => {
            // Nothing half made stays; what went wrong first is what is told.
            wire::remove(call).await.ok();
            pool.give_back(call)?;
            Err(failure)
        }
    }
}

/// Removes what may be there. The namespace may be gone, and all of this may have happened before.
async fn delete(conf: &NetConf, call: &Call) -> Outcome<()> {
    let plugin = conf.plugin()?;
    let pool = pool::Pool::open(&plugin)?;
    if let Some(address) = pool.address_of(call)? {
        host_ports::delete(&plugin, conf.port_mappings(), address).await?;
    }
    wire::remove(call).await?;
    pool.give_back(call)
}

async fn check(conf: &NetConf, call: &Call) -> Outcome<()> {
    let plugin = conf.plugin()?;
    let address = pool::Pool::open(&plugin)?.address_of(call)?;
    let address = address.ok_or_else(|| Failure::internal("the container has no address"))?;
    wire::check(call, address).await
}
