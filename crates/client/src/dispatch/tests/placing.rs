//! Who gets which task while nothing goes wrong.

use super::{
    NONE, ms,
    world::{KIND, World},
};
use crate::{balance::Balance, retry::RetryPolicy};
use sgdt_proto::{
    id::{TaskId, WorkerName},
    task::Refusal,
};

#[test]
fn round_robin_gives_each_worker_as_many_tasks_as_it_has_slots() {
    let mut world = World::new();
    let workers = [world.join(1), world.join(2), world.join(3)];
    world.submit(6);
    assert_eq!(workers.map(|worker| world.at(worker).len()), [1, 2, 3]);
    world.submit(6);
    assert_eq!(workers.map(|worker| world.at(worker).len()), [2, 4, 6]);
}

#[test]
fn least_loaded_sends_to_whoever_has_the_least_a_slot() {
    let mut world = World::with(RetryPolicy::default(), Balance::LeastLoaded);
    let (small, big) = (world.join(1), world.join(2));
    world.submit(3);
    assert_eq!((world.at(small).len(), world.at(big).len()), (1, 2));
    let done = world.at(big)[0];
    world.finish(big, done);
    world.submit(1);
    assert_eq!((world.at(small).len(), world.at(big).len()), (1, 2));
}

#[test]
fn results_come_with_the_worker_and_the_run_time() {
    let mut world = World::new();
    let worker = world.join(1);
    let task = world.submit(1)[0];
    world.finish(worker, task);
    let result = &world.results[&task];
    let name = result.worker.as_ref().map(WorkerName::as_str);
    assert_eq!((name, result.attempts, result.run), (Some("w0000000000000001"), 1, ms(1)));
    assert!(world.core.is_idle());
}

#[test]
fn a_worker_that_appears_gets_waiting_tasks_at_once() {
    let mut world = World::new();
    let task = world.submit(1)[0];
    let worker = world.announce(1, &[KIND]);
    assert_eq!(world.at(worker), NONE, "it is not connected");
    world.up(worker);
    assert_eq!(world.at(worker), [task]);
}

#[test]
fn a_kind_whose_workers_are_full_does_not_block_another() {
    let mut world = World::new();
    let (busy, free) = (world.announce(1, &["a"]), world.announce(1, &["b"]));
    world.up(busy);
    world.up(free);
    world.submit_as("a", 100);
    let task = world.submit_as("b", 1);
    assert_eq!(world.at(busy).len(), 2);
    assert_eq!(world.at(free), task);
}

#[test]
fn a_long_queue_of_one_kind_does_not_starve_another() {
    let mut world = World::new();
    let worker = world.announce(1, &["a", "b"]);
    world.up(worker);
    world.submit_as("a", 100);
    let other = world.submit_as("b", 10);
    for _ in 0..30 {
        let next = world.at(worker)[0];
        world.core.fleet.get_mut(worker).unwrap().durations = Default::default();
        world.finish(worker, next);
    }
    let got = other.iter().filter(|task| world.results.contains_key(task)).count();
    assert_eq!(got, 10, "of ten, while thirty were done");
}

#[test]
fn draining_workers_get_nothing() {
    let mut world = World::new();
    let (told, seen, stays) = (world.join(1), world.join(1), world.join(1));
    let tasks = world.submit(3);
    // The one is known to drain from the name server, the other says so itself.
    let info = world.core.fleet.get_mut(seen).unwrap().info.clone();
    world.core.joined(info.clone(), true);
    // Another name server is behind, and says what was true before.
    world.core.joined(info, false);
    world.refuse(told, tasks[0], Refusal::Draining);
    world.submit(5);
    assert_eq!((world.at(told), world.at(seen)), (vec![], vec![tasks[1]]));
    world.finish(seen, tasks[1]);
    assert_eq!(world.at(seen), NONE);
    assert_eq!(world.at(stays).len(), 2);
}

#[test]
fn a_worker_that_is_late_with_a_pong_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new();
    let late = world.join(1);
    let task = world.submit(1)[0];
    world.core.suspect(late);
    world.submit(1);
    assert_eq!(world.at(late), [task]);
    world.core.pong(late, ms(1));
    world.act();
    assert_eq!(world.at(late).len(), 2);
}

#[test]
fn cancelled_tasks_are_gone_from_wherever_they_were() {
    let mut world = World::new();
    let worker = world.join(1);
    let tasks = world.submit(4);
    let running = tasks[0];
    let waiting = tasks[3];
    world.cancel(waiting);
    world.cancel(running);
    assert_eq!((world.at(worker), world.cancels), (vec![tasks[1], tasks[2]], 1));
    world.core.cancel(TaskId(running));
    world.core.cancel(TaskId(u64::MAX));
    world.act();
    assert_eq!(world.cancels, 1);
    world.core.cancel_where(|ticket| *ticket == tasks[1]);
    world.cancelled.insert(tasks[1]);
    world.act();
    world.finish(worker, tasks[2]);
    assert_eq!(world.results.keys().collect::<Vec<_>>(), [&tasks[2]]);
    assert!(world.core.is_idle());
}

#[test]
fn cancelled_tasks_do_not_pile_up_in_a_queue_that_does_not_move() {
    let mut world = World::new();
    world.submit(2000);
    for _ in 0..50 {
        for task in world.submit(100) {
            world.core.cancel(TaskId(task));
            world.cancelled.insert(task);
        }
    }
    let waiting = world.core.queues[0].fresh.len();
    assert!(waiting <= 4200, "{waiting} places for {} tasks", world.core.tasks.iter().count());
    world.cancelled.extend(500..2000);
    (500..2000).for_each(|task| world.core.cancel(TaskId(task)));
    let left: Vec<_> =
        world.core.queues[0].fresh.iter().copied().filter(|id| world.core.tasks.contains_key(id)).collect();
    assert_eq!(left, (0..500).map(TaskId).collect::<Vec<_>>(), "and those that live keep their order");
    assert!(world.core.queues[0].fresh.len() <= 1024);
}
