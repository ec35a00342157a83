//! How much a worker has at a time.

use super::{fake::done, ms, world::World};
use sgdt_proto::{id::WorkerId, task::Refusal};
use std::time::Duration;

/// Finishes so many tasks that took so long each, and says how many the worker has after that.
fn run(world: &mut World, worker: WorkerId, tasks: usize, run: Duration) -> usize {
    for _ in 0..tasks {
        if world.at(worker).is_empty() {
            world.act();
        }
        let key = world.fake(worker).held.remove(0);
        world.core.reply(worker, key, done(run), world.now);
    }
    world.act();
    world.at(worker).len()
}

#[test]
fn windows_stay_at_two_a_slot_for_long_tasks() {
    let mut world = World::new();
    let worker = world.join(3);
    world.submit(100);
    assert_eq!(world.at(worker).len(), 6);
    assert_eq!(run(&mut world, worker, 50, ms(200)), 6);
}

#[test]
fn windows_grow_for_tiny_tasks_and_shrink_again() {
    let mut world = World::new();
    let worker = world.join(1);
    world.submit(10_000);
    assert_eq!(run(&mut world, worker, 100, Duration::from_micros(50)), 101);
    assert_eq!(run(&mut world, worker, 200, Duration::from_micros(1)), 1024);
    assert_eq!(run(&mut world, worker, 1100, ms(20)), 2);
}

#[test]
fn windows_are_bounded_however_many_slots_there_are() {
    let mut world = World::new();
    let worker = world.join(64);
    world.submit(10_000);
    assert_eq!(run(&mut world, worker, 200, Duration::from_micros(1)), 2048);
    let mut world = World::new();
    let worker = world.join(2000);
    world.submit(10_000);
    assert_eq!(world.at(worker).len(), 4000);
}

#[test]
fn windows_cover_the_way_there_and_back() {
    let mut world = World::new();
    let worker = world.join(1);
    world.submit(100);
    world.core.pong(worker, ms(100));
    assert_eq!(run(&mut world, worker, 20, ms(10)), 12);
}

#[test]
fn a_full_worker_gets_less_and_then_step_by_step_more() {
    let mut world = World::new();
    let worker = world.join(1);
    world.submit(1000);
    run(&mut world, worker, 50, Duration::from_micros(50));
    for task in world.at(worker).into_iter().skip(40).collect::<Vec<_>>() {
        world.refuse(worker, task, Refusal::Overloaded);
    }
    assert_eq!(world.at(worker).len(), 40);
    assert_eq!(run(&mut world, worker, 25, Duration::from_micros(50)), 15, "it is left alone for a moment");
    world.pass(ms(10));
    let after = world.at(worker).len();
    assert!((20..50).contains(&after), "{after}");
    let later = run(&mut world, worker, 10, Duration::from_micros(50));
    assert!((after..after + 15).contains(&later), "{after}, then {later}");
}

#[test]
fn a_full_worker_whose_other_clients_have_gone_is_used_again_though_its_tasks_are_long() {
    let mut world = World::new();
    let worker = world.join(8);
    let tasks = world.submit(16);
    tasks[1..].iter().for_each(|task| world.refuse(worker, *task, Refusal::Overloaded));
    assert_eq!(world.at(worker), [0], "which takes hours");
    world.pass(ms(2000));
    assert!(world.at(worker).len() >= 8, "{} run", world.at(worker).len());
}

#[test]
fn a_worker_that_stays_full_is_asked_less_and_less_often() {
    let mut world = World::new();
    let worker = world.join(1);
    world.submit(1);
    let before = world.sent.len();
    for _ in 0..600 {
        if let Some(&task) = world.at(worker).first() {
            world.refuse(worker, task, Refusal::Overloaded);
        }
        world.pass(ms(10));
    }
    let asked = world.sent.len() - before;
    assert!((8..25).contains(&asked), "{asked} times in six seconds");
}
