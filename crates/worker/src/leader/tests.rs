//! Who drives the runtime while the leader runs a task.

use super::Leader;
use crate::{
    cancel::Cancel,
    executor::Executor,
    pool::{Job, Pool, Running},
    queue::Ticket,
    session::{Limits, Session},
    testing::{self, kinds, task},
};
use serde_json::json;
use sgdt_proto::name_server::Load;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::UnboundedReceiver,
    task::yield_now,
};

/// A pool whose only slot is the test itself, which leaves everything to the leader that it can.
struct Alone {
    pool: Arc<Pool>,
    session: Arc<Session>,
    leader: Leader,
    tells: UnboundedReceiver<&'static str>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Alone {
    fn new() -> Self {
        let pool = Arc::new(Pool::new(10));
        let session = testing::session(pool.clone(), Limits::default());
        let (kinds, tells) = kinds();
        let leader = Leader::new(pool.clone(), Arc::new(kinds));
        let alone = Self { pool, session, leader, tells, woken: Arc::default() };
        assert!(alone.next().is_none());
        alone
    }

    /// What the slot has to do. If that is nothing it waits.
    fn next(&self) -> Option<Running> {
        let waker = Waker::from(self.woken.clone());
        match self.pool.poll_next(0, &mut Context::from_waker(&waker)) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    fn push(&self, number: u64, kind: &str) -> Cancel {
        let cancel = Cancel::new();
        let (session, assignment) = (self.session.clone(), task(number, kind, json!(number)));
        let job = Job { session, ticket: Ticket(number), assignment, cancel: cancel.clone() };
        assert!(self.pool.push(vec![job]).is_empty());
        cancel
    }

    /// Has the leader run a task that will not end by itself.
    async fn hold(&mut self) -> Cancel {
        for number in 0.. {
            self.push(2 * number, "echo");
            while self.pool.load() != Load::default() {
                self.slot(|running| running.run(&self.leader.kinds));
                yield_now().await;
            }
            // Where that was quick, the next one is the leader's.
            let cancel = self.push(2 * number + 1, "hold");
            if !self.slot(drop) {
                // Whoever gets so far is driven by somebody.
                assert_eq!(self.tells.recv().await, Some("runs"));
                return cancel;
            }
        }
        unreachable!()
    }

    /// Does this with what the slot was woken for, if it was.
    fn slot(&self, act: impl Fn(Running)) -> bool {
        let woken = self.woken.0.swap(false, Ordering::SeqCst);
        while woken && let Some(running) = self.next() {
            act(running);
        }
        woken
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Does something that, when it fails, never ends.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(what()));
    told.recv_timeout(Duration::from_secs(30)).expect("it did not end")
}

#[test]
fn the_standby_drives_the_runtime_while_the_leader_is_stuck_and_until_it_is_back() {
    in_time(|| {
        let mut alone = Alone::new();
        let leader = alone.leader.clone();
        let work = async move {
            for _ in 0..10 {
                let cancel = alone.hold().await;
                cancel.cancel();
                assert_eq!(alone.tells.recv().await, Some("stopped"));
                alone.pool.idle().await;
            }
        };
        leader.block_on(runtime(), work).unwrap();
    });
}

#[test]
fn what_came_with_a_task_that_takes_long_is_run_by_other_slots() {
    in_time(|| {
        let pool = Arc::new(Pool::new(1_000));
        let session = testing::session(pool.clone(), Limits::default());
        let (kinds, mut tells) = kinds();
        let kinds = Arc::new(kinds);
        Executor::Threads.start(&pool, &kinds, 2).unwrap();
        let job = move |number, kind: &str| {
            let (session, assignment) = (session.clone(), task(number, kind, json!(number)));
            Job { session, ticket: Ticket(number), assignment, cancel: Cancel::new() }
        };
        let leader = Leader::new(pool.clone(), kinds);
        let work = async move {
            let idle = async |running| {
                while pool.load() != (Load { running, ..Load::default() }) {
                    yield_now().await;
                }
            };
            for round in 0..10 {
                // Until tasks are known to be quick.
                for number in 0..100 {
                    assert!(pool.push(vec![job(number, "echo")]).is_empty());
                    idle(0).await;
                }
                let hold = job(200 + round, "hold");
                let cancel = hold.cancel.clone();
                assert!(pool.push(vec![hold, job(300, "echo"), job(301, "echo")]).is_empty());
                assert_eq!(tells.recv().await, Some("runs"));
                idle(1).await;
                cancel.cancel();
                assert_eq!(tells.recv().await, Some("stopped"));
                idle(0).await;
            }
            pool.close();
        };
        leader.block_on(runtime(), work).unwrap();
    });
}

#[test]
fn the_end_does_not_wait_for_what_the_leader_runs() {
    let cancel = in_time(|| {
        let mut alone = Alone::new();
        let leader = alone.leader.clone();
        let work = async move { alone.hold().await };
        leader.block_on(runtime(), work).unwrap()
    });
    cancel.cancel();
}

#[test]
#[should_panic(expected = "no bananas")]
fn a_panic_is_passed_on() {
    let Alone { leader, .. } = Alone::new();
    leader.block_on(runtime(), async { panic!("no bananas") }).unwrap();
}
