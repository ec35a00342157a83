//! Workers that keep failing, and how far one can do without them.

use super::{NONE, ms, world::World};
use crate::retry::Cause;
use sgdt_proto::id::WorkerId;

/// Has one call to a worker fail that carried all it has.
fn fail(world: &mut World, worker: WorkerId) {
    for task in world.at(worker) {
        let key = world.key(worker, task);
        world.core.call_failed(worker, key, &Cause::Rpc("broken".to_owned()), world.now);
    }
    world.act();
}

fn is_ejected(world: &mut World, worker: WorkerId) -> bool {
    let now = world.now;
    world.core.fleet.get_mut(worker).unwrap().is_ejected(now)
}

#[test]
fn a_worker_that_fails_three_times_in_a_row_gets_nothing_for_a_while() {
    let mut world = World::new();
    let (bad, good) = (world.join(1), world.join(1));
    for _ in 0..3 {
        world.submit(4);
        assert!(!is_ejected(&mut world, bad));
        fail(&mut world, bad);
        world.at(good).into_iter().for_each(|task| world.finish(good, task));
        world.pass(ms(10));
    }
    assert!(is_ejected(&mut world, bad));
    world.submit(10);
    assert_eq!(world.at(bad), NONE);
    world.pass(ms(1000));
    assert!(!world.at(bad).is_empty(), "it is tried again after a second");
    fail(&mut world, bad);
    world.pass(ms(1500));
    assert!(is_ejected(&mut world, bad), "for two, the next time");
}

#[test]
fn a_call_that_fails_with_many_tasks_is_one_failure() {
    let mut world = World::new();
    let (bad, _) = (world.join(8), world.join(8));
    world.submit(16);
    fail(&mut world, bad);
    assert!(!is_ejected(&mut world, bad));
}

#[test]
fn no_more_than_half_are_ejected_and_never_the_last() {
    for count in 1..7 {
        let mut world = World::new();
        let workers = world.team(count, 1);
        for _ in 0..4 {
            world.submit(2 * count);
            for worker in &workers {
                world.now += ms(1);
                fail(&mut world, *worker);
                world.check_ejections();
            }
        }
        let ejected = workers.iter().filter(|worker| is_ejected(&mut world, **worker)).count() as u64;
        assert_eq!(ejected, count / 2);
    }
}

#[test]
fn workers_that_are_away_do_not_count_as_a_reason_to_eject_another() {
    let mut world = World::new();
    let (away, last) = (world.join(1), world.join(1));
    world.lose(away, &Cause::Hung);
    for _ in 0..5 {
        world.submit(1);
        world.pass(ms(2000));
        fail(&mut world, last);
    }
    assert!(!is_ejected(&mut world, last));
}

#[test]
fn an_ejected_worker_is_taken_back_when_the_others_are_gone() {
    let mut world = World::new();
    let (bad, good) = (world.join(1), world.join(1));
    for _ in 0..3 {
        world.submit(4);
        world.now += ms(1);
        fail(&mut world, bad);
    }
    assert!(is_ejected(&mut world, bad));
    world.leave(good);
    world.pass(ms(50));
    assert!(!is_ejected(&mut world, bad));
    world.submit(1);
    assert!(!world.at(bad).is_empty());
}

#[test]
fn the_only_worker_that_serves_a_kind_is_not_ejected() {
    let mut world = World::new();
    let only = world.announce(1, &["rare"]);
    world.up(only);
    world.team(3, 1);
    for _ in 0..4 {
        world.submit_as("rare", 2);
        world.now += ms(1);
        fail(&mut world, only);
    }
    assert!(!is_ejected(&mut world, only));
}
