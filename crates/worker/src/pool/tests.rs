//! Slots and what they take.

use super::{AT_ONCE, Job, Pool};
use crate::{
    cancel::Cancel,
    executor::Executor,
    queue::Ticket,
    session::Limits,
    testing::{self, key, kinds, task},
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
use tokio::time::Instant;

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
    let session = testing::session(pool.clone(), Limits::default());
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

#[tokio::test(start_paused = true)]
async fn the_leader_is_called_for_what_is_quick_and_slots_for_the_rest() {
    let pool = Arc::new(Pool::new(10));
    let counts: [Arc<Count>; 3] = Default::default();
    let [first, second, leader] = counts.each_ref().map(|count| Waker::from(count.clone()));
    let woken = || counts.each_ref().map(|count| count.woken());
    let wait = |slot, waker| assert!(pool.poll_next(slot, &mut Context::from_waker(waker)).is_pending());
    let lead = || pool.poll_turn(&mut Context::from_waker(&leader));
    wait(0, &first);
    wait(1, &second);
    assert!(lead().is_pending());

    // Nobody knows yet how long tasks take.
    assert!(pool.push(jobs(&pool, 0..1)).is_empty());
    assert_eq!(woken(), [0, 1, 0]);
    let Poll::Ready(Some(running)) = pool.poll_next(1, &mut Context::from_waker(&second)) else { panic!() };
    tokio::time::advance(AT_ONCE / 3).await;
    drop(running);
    wait(1, &second);

    // Three of those are done at once; more come while it is on its way; five are too many.
    assert!(pool.push(jobs(&pool, 1..3)).is_empty());
    assert!(pool.push(jobs(&pool, 3..4)).is_empty());
    assert_eq!(woken(), [0, 1, 1]);
    let Poll::Ready((slot, mut next)) = lead() else { panic!() };
    let (mut slot, end) = (Some(slot), Instant::now() + AT_ONCE);
    for number in 1..4 {
        let running = next.unwrap();
        assert_eq!((running.assignment().key, pool.load().running), (key(number), 1));
        drop(running);
        next = pool.next_of_turn(&mut slot, end);
    }
    assert!(next.is_none() && slot.is_none());
    assert!(lead().is_pending());
    assert!(pool.push(jobs(&pool, 4..9)).is_empty());
    assert_eq!(woken(), [1, 2, 1]);

    // The slots are quicker than the leader, and it takes nothing while none is idle.
    let next = |slot| pool.poll_next(slot, &mut Context::from_waker(&first));
    let (Poll::Ready(Some(slow)), Poll::Ready(Some(_))) = (next(0), next(1)) else { panic!() };
    assert!(lead().is_pending());

    // One slow task, and the rest of the turn goes to a slot.
    while let Poll::Ready(Some(running)) = next(1) {
        drop(running);
    }
    assert!(pool.push(jobs(&pool, 9..11)).is_empty());
    let Poll::Ready((slot, Some(quick))) = lead() else { panic!() };
    let mut slot = Some(slot);
    drop(quick);
    tokio::time::advance(2 * AT_ONCE).await;
    drop(slow);
    let before = woken();
    assert!(pool.next_of_turn(&mut slot, Instant::now() + AT_ONCE).is_none() && slot.is_none());
    assert_eq!(woken().iter().sum::<usize>(), before.iter().sum::<usize>() + 1);
}
