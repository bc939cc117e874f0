//! Two API servers over one etcd, under faults.
//!
//! Here: linearizability. Clients read, list, create, replace, swap and delete a few keys while servers and etcd are killed and
//! paused; whatever they were answered must fit a single object per key that does one thing after the other. In `failover`:
//! clients that know both servers lose nothing.
//!
//! `KOGGE_SEEDS` is how many rounds are played, `KOGGE_SEED` the one round to play again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod chance;
mod checker;
mod client;
mod failover;
mod pki;
mod servers;
mod watcher;
mod writer;

use std::time::{Duration, Instant};

use chance::Chance;
use checker::{Call, Verdict, check};
use client::{Client, KEYS};
use nix::sys::signal::Signal;
use servers::{Servers, Which};
use tokio::{sync::Mutex, time::sleep};

const ROUNDS: u64 = 8;
const CLIENTS: usize = 5;
const ROUND: Duration = Duration::from_millis(2500);

/// One test at a time has the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable() {
    let _alone = ALONE.lock().await;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("KOGGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KOGGE_SEEDS").unwrap_or(ROUNDS),
    };
    let rounds = seeds.end - seeds.start;
    let mut total = 0;
    let mut servers = Servers::start(servers::folder("linear").unwrap()).await.unwrap();
    for seed in seeds {
        let histories = round(&mut servers, seed).await;
        let answered = histories.iter().flatten().filter(|call| call.answer != checker::Answer::Unknown).count();
        println!("seed {seed}: {answered} answers");
        total += answered as u64;
        for (key, history) in histories.iter().enumerate() {
            match check(history) {
                Verdict::Linearizable => {}
                verdict => panic!("seed {seed}, key {key}: {verdict:#?}\nof {history:#?}"),
            }
        }
    }
    assert!(total > 20 * rounds, "hardly anything was answered: {total} calls in {rounds} rounds");
}

/// The calls on each key.
async fn round(servers: &mut Servers, seed: u64) -> [Vec<Call>; KEYS] {
    let begun = Instant::now();
    let until = begun + ROUND;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let targets = [servers.target(0).unwrap(), servers.target(1).unwrap()];
            let chance = Chance::new(seed * 1000 + number as u64);
            tokio::spawn(Client::new(number, seed, targets, chance, begun).run(until))
        })
        .collect();
    let mut chance = Chance::new(seed);
    while Instant::now() + Duration::from_millis(500) < until {
        fault(servers, &mut chance).await;
    }
    let mut histories = <[Vec<Call>; KEYS]>::default();
    for client in clients {
        for (history, calls) in histories.iter_mut().zip(client.await.unwrap().calls) {
            history.extend(calls);
        }
    }
    servers.ready().await.unwrap();
    histories
}

/// One of the processes is killed and started again, or paused for a while.
async fn fault(servers: &mut Servers, chance: &mut Chance) {
    sleep(Duration::from_millis(100 + chance.below(300))).await;
    let which = match chance.below(4) {
        0 => Which::Etcd,
        1 | 2 => Which::Api(0),
        _ => Which::Api(1),
    };
    let pause = Duration::from_millis(chance.below(400));
    if chance.below(2) == 0 {
        servers.kill(which).unwrap();
        sleep(pause / 4).await;
        servers.begin(which).unwrap();
    } else {
        servers.signal(which, Signal::SIGSTOP).unwrap();
        sleep(pause).await;
        servers.signal(which, Signal::SIGCONT).unwrap();
    }
}
