//! Tasks that nobody will ever take.

use super::{
    ms,
    world::{KIND, PATIENCE, World},
};
use crate::retry::Cause;
use sgdt_proto::task::ErrorCode;

#[test]
fn a_kind_that_nobody_serves_fails_after_the_grace_and_not_before() {
    let mut world = World::new();
    world.join(1);
    // The grace counts from when a task waits.
    world.pass(ms(5000));
    let task = world.submit_as("strange", 1)[0];
    world.pass(ms(1900));
    assert!(world.results.is_empty());
    world.pass(ms(200));
    assert_eq!((world.code(task), world.results[&task].attempts), (Some(ErrorCode::UnsupportedTask), 0));
    assert!(world.message(task).contains(r#""strange"; they serve work"#), "{}", world.message(task));
    // And for the next anew.
    world.pass(ms(5000));
    let next = world.submit_as("strange", 1)[0];
    world.pass(ms(1900));
    assert!(!world.results.contains_key(&next));
    let late = world.announce(1, &["strange"]);
    world.up(late);
    assert_eq!(world.at(late), [next]);
}

#[test]
fn tasks_are_given_up_when_no_worker_came_for_as_long_as_there_is_patience() {
    let mut world = World::new();
    // Patience is with tasks: none is lost while there are none.
    world.pass(PATIENCE * 2);
    let task = world.submit(1)[0];
    world.pass(PATIENCE - ms(100));
    assert!(world.results.is_empty());
    world.pass(ms(200));
    assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
    assert!(world.message(task).contains("could be reached for 30s; start one"), "{}", world.message(task));
}

#[test]
fn a_task_that_is_given_up_tells_how_many_workers_it_killed() {
    // Another worker would be no help after more than one.
    for (workers, told) in [
        (1, "wait longer; one died while"),
        (2, "for 30s; 2 workers died while"),
        (3, "for 30s; 3 workers died while"),
    ] {
        let mut world = World::new();
        let mut alive = world.team(workers, 1);
        let task = world.submit(1)[0];
        while let Some(at) = alive.iter().position(|worker| world.at(*worker) == [task]) {
            let worker = alive.remove(at);
            world.lose(worker, &Cause::ConnectionLost);
            world.leave(worker);
            world.pass(ms(3000));
        }
        world.pass(PATIENCE);
        assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
        assert!(world.message(task).contains(told), "{}", world.message(task));
    }
}

#[test]
fn patience_begins_anew_when_a_worker_was_there() {
    let mut world = World::new();
    let worker = world.announce(1, &[KIND]);
    let task = world.submit(1)[0];
    world.pass(PATIENCE - ms(100));
    world.up(worker);
    world.pass(ms(200));
    world.lose(worker, &Cause::Hung);
    world.pass(PATIENCE - ms(100));
    assert!(world.results.is_empty());
    world.pass(ms(200));
    assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
    assert!(
        world.message(task).contains("stopped answering"),
        "what it met is told: {}",
        world.message(task)
    );
}

#[test]
fn a_kind_whose_workers_cannot_be_reached_is_given_up_though_others_can() {
    let mut world = World::new();
    world.join(1);
    world.announce(1, &["rare"]);
    let task = world.submit_as("rare", 1)[0];
    world.pass(PATIENCE - ms(100));
    assert!(world.results.is_empty());
    world.pass(ms(200));
    assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
}

#[test]
fn a_kind_that_was_served_waits_for_its_worker_to_start_again() {
    let mut world = World::new();
    world.join(1);
    let only = world.announce(1, &["rare"]);
    world.up(only);
    let task = world.submit_as("rare", 1)[0];
    world.leave(only);
    world.pass(PATIENCE - ms(100));
    assert!(world.results.is_empty());
    let again = world.announce(1, &["rare"]);
    world.up(again);
    assert_eq!(world.at(again), [task]);
}

#[test]
fn a_file_of_garbage_kinds_takes_up_no_more_with_every_one_of_them() {
    let mut world = World::new();
    world.join(1);
    for round in 0..20 {
        for kind in 0..10 {
            world.submit_as(&format!("garbage-{round}-{kind}"), 1);
        }
        world.pass(ms(2100));
    }
    assert_eq!(world.results.len(), 200);
    assert!(world.core.queues.len() <= 11, "{} queues", world.core.queues.len());
    let task = world.submit(1)[0];
    let worker = *world.fakes.keys().next().unwrap();
    assert_eq!(world.at(worker), [task]);
}
