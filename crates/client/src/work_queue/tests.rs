use std::sync::Arc;

use super::*;

fn queue() -> Arc<WorkQueue<&'static str>> {
    Arc::new(WorkQueue::new("test"))
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once_and_is_worked_on_by_one() {
    let queue = queue();
    queue.add("a");
    queue.add("a");
    assert_eq!(queue.next().await, Some("a"));
    queue.add("a");
    assert!(queue.is_empty(), "it is being worked on");
    queue.done(&"a");
    assert_eq!(queue.next().await, Some("a"));
    queue.done(&"a");
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_earliest_of_several_times_counts() {
    let queue = queue();
    let begun = Instant::now();
    queue.add_after("a", Duration::from_secs(9));
    queue.add_after("a", Duration::from_secs(3));
    queue.add_after("a", Duration::from_secs(6));
    assert_eq!(queue.next().await, Some("a"));
    assert_eq!(begun.elapsed().as_secs(), 3);
    queue.done(&"a");
    let nothing = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
    assert!(nothing.is_err(), "the other times are void");
}

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_and_longer() {
    let queue = queue();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        queue.add_rate_limited("a");
        queue.next().await;
        queue.done(&"a");
        waits.push(begun.elapsed());
    }
    assert!(waits.is_sorted() && waits[4] >= waits[0] * 8, "{waits:?}");
    queue.forget(&"a");
    let begun = Instant::now();
    queue.add_rate_limited("a");
    queue.next().await;
    assert!(begun.elapsed() < waits[2]);
}

#[tokio::test(start_paused = true)]
async fn several_workers_share_it_and_all_end() {
    let queue = queue();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut worked = 0;
                while let Some(key) = queue.next().await {
                    worked += 1;
                    tokio::task::yield_now().await;
                    queue.done(&key);
                }
                worked
            })
        })
        .collect();
    for key in ["a", "b", "c", "d", "e"] {
        queue.add(key);
        queue.add_after(key, Duration::from_secs(1));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    queue.close();
    let mut worked = 0;
    for worker in workers {
        worked += worker.await.unwrap();
    }
    assert_eq!(worked, 10);
}
