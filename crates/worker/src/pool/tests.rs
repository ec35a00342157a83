//! Slots and what they take.

use super::{Job, Pool};
use crate::{
    cancel::Cancel,
    executor::Executor,
    queue::{SessionId, Ticket},
    session::{Limits, Session},
    testing::{key, kinds, task},
};
use serde_json::json;
use sgdt_proto::{name_server::Load, task::Refusal};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn jobs(pool: &Arc<Pool>, numbers: std::ops::Range<u64>) -> Vec<Job> {
    let session = Arc::new(Session::new(SessionId(1), pool.clone(), Limits::default()));
    let job = |n| Job {
        session: session.clone(),
        ticket: Ticket(n),
        assignment: task(n, "echo", json!(n)),
        cancel: Cancel::new(),
    };
    numbers.map(job).collect()
}

fn load(running: u32, queued: u32) -> Load {
    Load { running, queued, draining: false }
}

#[test]
fn a_task_is_queued_then_running_then_gone() {
    let pool = Arc::new(Pool::new(10));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pool.push(jobs(&pool, 0..2)).is_empty());
    assert_eq!(pool.load(), load(0, 2));
    let Poll::Ready(Some(running)) = pool.poll_next(0, &mut cx) else { panic!() };
    assert_eq!((running.assignment().key, pool.load()), (key(0), load(1, 1)));
    running.run(&kinds().0);
    assert_eq!(pool.load(), load(0, 1));
    let Poll::Ready(Some(running)) = pool.poll_next(0, &mut cx) else { panic!() };
    drop(running);
    assert_eq!(pool.load(), load(0, 0), "the unit of load ends with the kernel, run or not");
}

#[test]
fn only_as_many_slots_are_woken_as_there_are_tasks() {
    let pool = Arc::new(Pool::new(10));
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    for (slot, count) in counts.iter().enumerate() {
        let waker = Waker::from(count.clone());
        // Asking twice, as a thread does that wakes by itself, makes it wait once.
        for _ in 0..2 {
            assert!(pool.poll_next(slot, &mut Context::from_waker(&waker)).is_pending());
        }
    }
    assert!(pool.push(jobs(&pool, 0..2)).is_empty());
    assert_eq!(counts.iter().map(|count| count.woken()).collect::<Vec<_>>(), [0, 1, 1]);
    assert!(pool.push(jobs(&pool, 2..3)).is_empty());
    assert_eq!(counts[0].woken(), 1);
    pool.close();
    assert!(matches!(pool.poll_next(0, &mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
}

#[test]
fn idle_slots_are_room_beyond_the_queue() {
    let pool = Arc::new(Pool::new(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pool.poll_next(0, &mut cx).is_pending());
    let refused = pool.push(jobs(&pool, 0..3));
    assert_eq!(
        refused.iter().map(|(job, why)| (job.ticket, *why)).collect::<Vec<_>>(),
        [(Ticket(2), Refusal::Overloaded)]
    );
    let refused = pool.push(jobs(&pool, 3..4));
    assert_eq!(refused.len(), 1, "the slot that was woken is no room for another");
}

#[test]
fn what_waits_is_bounded_in_bytes_too_and_an_idle_slot_takes_any() {
    let pool = Arc::new(Pool::new(10).with_bytes(3));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pool.poll_next(0, &mut cx).is_pending());
    // Each input is one byte.
    assert!(pool.push(jobs(&pool, 0..1)).is_empty());
    assert!(pool.poll_next(0, &mut cx).is_ready());
    let refused = pool.push(jobs(&pool, 1..6));
    assert_eq!(
        refused.iter().map(|(job, why)| (job.ticket, *why)).collect::<Vec<_>>(),
        [(Ticket(4), Refusal::Overloaded), (Ticket(5), Refusal::Overloaded)]
    );
    let pool = Arc::new(Pool::new(10).with_bytes(0));
    assert!(pool.poll_next(0, &mut cx).is_pending());
    assert!(pool.poll_next(1, &mut cx).is_pending());
    assert!(pool.push(jobs(&pool, 0..2)).is_empty());
    assert_eq!(pool.push(jobs(&pool, 2..3)).len(), 1);
}

#[test]
fn a_draining_pool_gives_back_what_waits_and_takes_nothing() {
    let pool = Arc::new(Pool::new(10));
    assert!(pool.push(jobs(&pool, 0..2)).is_empty());
    assert_eq!(pool.drain().len(), 2);
    let refused = pool.push(jobs(&pool, 2..3));
    assert_eq!(refused[0].1, Refusal::Draining);
    assert!(pool.load().draining);
}

#[test]
fn closing_a_pool_ends_its_threads() {
    let pool = Arc::new(Pool::new(10));
    let (kinds, mut tells) = kinds();
    Executor::Threads.start(&pool, &Arc::new(kinds), 3).unwrap();
    pool.close();
    // The last of them lets go of the kernels.
    assert_eq!(tells.blocking_recv(), None);
}
