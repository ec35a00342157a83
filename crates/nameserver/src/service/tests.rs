//! Time is paused: it goes on only when every task waits for it, so what took no time was not waited for.

use super::*;
use crate::registry::MAX_WORKERS;
use futures::FutureExt;
use std::future::Future;
use tokio::{task::JoinHandle, time::advance};

const TTL: Duration = Duration::from_secs(6);
const EPOCH: Epoch = Epoch(7);

struct Setup {
    directory: Directory,
    stop: CancellationToken,
}

/// A directory that is tended.
fn start() -> Setup {
    let stop = CancellationToken::new();
    let directory = Directory::new(Registry::new(EPOCH, TTL, MAX_WORKERS), stop.clone());
    let tended = directory.clone();
    tokio::spawn(async move { tended.tend().await });
    Setup { directory, stop }
}

impl Setup {
    fn here(&self) -> (Directory, Context) {
        (self.directory.clone(), tarpc::context::current())
    }

    async fn register(&self, n: u64) -> Lease {
        let (directory, context) = self.here();
        directory.register(context, info(n), Load::default()).await.unwrap()
    }

    async fn renew(&self, n: u64) {
        let (directory, context) = self.here();
        directory.renew(context, WorkerId(n), Load { running: 1, ..Load::default() }).await.unwrap();
    }

    async fn now(&self) -> Snapshot {
        let (directory, context) = self.here();
        let told = directory.watch(context, None).now_or_never().expect("who knows nothing does not wait");
        told.read().unwrap()
    }

    /// A watch that has been asked for, and goes on by itself.
    async fn watch(&self, since: &Snapshot) -> JoinHandle<Snapshot> {
        let (directory, context) = self.here();
        let since = Some((since.epoch, since.revision));
        let task = tokio::spawn(async move { directory.watch(context, since).await.read().unwrap() });
        tokio::task::yield_now().await;
        task
    }
}

fn info(n: u64) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId(n),
        name: format!("w{n}").parse().unwrap(),
        address: "127.0.0.1:1".into(),
        slots: 1,
        tags: Default::default(),
        kinds: Vec::new(),
    }
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (future.await, start.elapsed())
}

fn near(took: Duration, expected: Duration) -> bool {
    // The timer's resolution is a millisecond.
    took >= expected && took <= expected + Duration::from_millis(2)
}

#[tokio::test(start_paused = true)]
async fn the_first_change_after_quiet_reaches_watchers_at_once() {
    let setup = start();
    let watch = setup.watch(&setup.now().await).await;
    advance(Duration::from_secs(1)).await;
    assert!(!watch.is_finished());
    let lease = setup.register(1).await;
    let (snapshot, took) = timed(watch).await;
    let snapshot = snapshot.unwrap();
    assert_eq!((snapshot.members.len(), took), (1, Duration::ZERO));
    assert_eq!((snapshot.members[0].info.clone(), lease.ttl_ms), (info(1), 6_000));
}

#[tokio::test(start_paused = true)]
async fn without_a_change_a_watch_is_answered_as_it_is_after_the_hold() {
    let setup = start();
    sleep(TTL * 2).await;
    let settled = setup.now().await;
    let (same, took) = timed(setup.watch(&settled).await).await;
    assert_eq!(same.unwrap(), settled);
    assert!(near(took, Duration::from_millis(WATCH_HOLD_MS)), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_reaches_watchers_with_nobody_asking() {
    let setup = start();
    tokio::time::sleep(TTL * 2).await;
    setup.register(1).await;
    tokio::time::sleep(TTL / 2).await;
    setup.renew(1).await;
    let (after, took) = timed(setup.watch(&setup.now().await).await).await;
    assert_eq!(after.unwrap().members, []);
    assert!(near(took, TTL), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_before_any_other_event_is_not_slept_through() {
    let setup = start();
    // Settled and empty: the tender has nothing to wake up for.
    tokio::time::sleep(TTL * 10).await;
    setup.register(1).await;
    let joined = setup.now().await;
    let (after, took) = timed(setup.watch(&joined).await).await;
    assert_eq!(after.unwrap().members, []);
    assert!(near(took, TTL), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_in_which_the_process_stood_still_ends_no_lease() {
    let setup = start();
    sleep(TTL * 2).await;
    setup.register(1).await;
    // Nobody runs while the clock leaps, as after SIGSTOP and SIGCONT.
    advance(TTL * 3).await;
    assert_eq!(setup.now().await.members.len(), 1);
    sleep(TTL / 3).await;
    setup.renew(1).await;
    // From then on time counts again.
    let (after, took) = timed(setup.watch(&setup.now().await).await).await;
    assert_eq!(after.unwrap().members, []);
    assert!(near(took, TTL), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn renewals_wake_nobody() {
    let setup = start();
    tokio::time::sleep(TTL * 2).await;
    setup.register(1).await;
    let watch = setup.watch(&setup.now().await).await;
    for _ in 0..4 {
        tokio::time::sleep(TTL / 3).await;
        setup.renew(1).await;
    }
    assert!(!watch.is_finished());
}

#[tokio::test(start_paused = true)]
async fn settling_reaches_watchers() {
    let setup = start();
    let young = setup.now().await;
    let (settled, took) = timed(setup.watch(&young).await).await;
    assert!(!young.settled && settled.unwrap().settled);
    assert!(near(took, TTL + TTL / 3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_joins_is_a_few_answers_and_none_is_lost() {
    let setup = start();
    let mut seen = setup.now().await;
    let mut answers = 0;
    let joins = async {
        for n in 0..100 {
            setup.register(n).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let watching = async {
        while seen.members.len() < 100 {
            seen = setup.watch(&seen).await.await.unwrap();
            answers += 1;
        }
    };
    let (_, took) = timed(async { tokio::join!(joins, watching) }).await;
    assert!((2..=12).contains(&answers), "{answers} answers");
    assert!(took <= Duration::from_millis(250), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_more_workers_there_are_the_fewer_answers_tell_of_a_burst() {
    let setup = start();
    for n in 0..2_000 {
        setup.register(n).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut seen = setup.now().await;
    let (mut answers, start) = (0, Instant::now());
    let joins = async {
        for n in 2_000..2_400 {
            setup.register(n).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let watching = async {
        while seen.members.len() < 2_400 {
            seen = setup.watch(&seen).await.await.unwrap();
            answers += 1;
        }
    };
    tokio::join!(joins, watching);
    assert!((2..=3).contains(&answers), "{answers} answers");
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_taken_back_to_an_earlier_membership() {
    let setup = start();
    let watch = setup.watch(&setup.now().await).await;
    setup.register(1).await;
    let first = watch.await.unwrap();
    // Within the time in which changes are gathered.
    setup.register(2).await;
    let second = setup.now().await;
    assert!(second.revision > first.revision);
    let mut watch = setup.watch(&second).await;
    assert!(timeout(Duration::from_secs(1), &mut watch).await.is_err(), "it was told what it knows or less");
    setup.register(3).await;
    assert_eq!(watch.await.unwrap().members.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_knows_another_start_or_the_future_is_answered_at_once() {
    let setup = start();
    let here = setup.now().await;
    let elsewhere = Snapshot { epoch: Epoch(8), ..here.clone() };
    let future = Snapshot { revision: Revision(99), ..here.clone() };
    for since in [elsewhere, future] {
        let (answer, took) = timed(setup.watch(&since).await).await;
        assert_eq!((answer.unwrap(), took), (here.clone(), Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_releases_those_who_wait() {
    let setup = start();
    let here = setup.now().await;
    let watch = setup.watch(&here).await;
    setup.stop.cancel();
    let (answer, took) = timed(watch).await;
    assert_eq!((answer.unwrap(), took), (here, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_one_caller_does_another_sees() {
    let setup = start();
    setup.register(1).await;
    setup.register(2).await;
    let (directory, context) = setup.here();
    let w1: WorkerName = "w1".parse().unwrap();
    let removed = directory.clone().remove(context, w1.clone()).await.unwrap();
    assert_eq!(removed.info, info(1));
    assert_eq!(directory.clone().lookup(context, w1).await, None);
    let renewed = directory.clone().renew(context, WorkerId(1), Load::default()).await;
    assert_eq!(renewed, Err(RenewError::Removed));
    directory.clone().deregister(context, WorkerId(2)).await;
    assert_eq!(directory.list(context).await, []);
}
