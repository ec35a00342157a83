//! Tasks that kill workers, and tasks that only seem to.

use super::{
    fake::done,
    ms,
    world::{KIND, World},
};
use crate::{
    balance::Balance,
    retry::{Cause, RetryPolicy},
};
use sgdt_proto::{
    id::WorkerId,
    task::{ErrorCode, Refusal},
};

/// Has every worker run what it has: one that starts a task of `deadly` dies. Returns how many did.
fn run(world: &mut World, deadly: &[u64]) -> usize {
    let mut deaths = 0;
    for _ in 0..10_000 {
        let started: Vec<_> =
            world.fakes.iter().filter(|(_, fake)| !fake.held.is_empty()).map(|(id, _)| *id).collect();
        for worker in started {
            let slots = world.fakes[&worker].slots;
            let running: Vec<_> = world.at(worker).into_iter().take(slots).collect();
            if running.iter().any(|task| deadly.contains(task)) {
                deaths += 1;
                world.lose(worker, &Cause::ConnectionLost);
            } else if let Some(&task) = running.first() {
                world.finish(worker, task);
            }
        }
        world.pass(ms(50));
        if world.core.is_idle() {
            break;
        }
    }
    deaths
}

/// Has a task, the only one, be on two workers as they are lost. Those stay away.
fn bereave(world: &mut World) -> (u64, [WorkerId; 2]) {
    let workers = [world.join(1), world.join(1)];
    let task = world.submit(1)[0];
    workers.iter().for_each(|worker| world.lose(*worker, &Cause::ConnectionLost));
    (task, workers)
}

#[test]
fn poison_is_stopped_after_three_deaths_and_its_neighbours_finish() {
    for slots in [1, 2, 4] {
        for run_us in [20, 1_000_000] {
            for place in [0, 7, 60] {
                let mut world = World::new();
                let workers = world.team(6, slots);
                for worker in workers {
                    // They know their pace already, and so have windows of 500 a slot, or of two.
                    world.core.fleet.get_mut(worker).unwrap().durations.record(run_us);
                }
                let tasks = world.submit(120);
                let deaths = run(&mut world, &[tasks[place]]);
                assert_eq!(deaths, 3, "{slots} slots, {run_us} µs, task {place}");
                for task in &tasks {
                    let expected = (*task == tasks[place]).then_some(ErrorCode::GaveUp);
                    assert_eq!(world.code(*task), expected, "{task}: {}", world.message(*task));
                }
                let message = world.message(tasks[place]);
                assert!(
                    message.contains("3 workers died") && message.contains("attempt 3 on w"),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn several_poisons_at_once_take_no_neighbour_with_them() {
    let mut world = World::new();
    world.team(12, 2);
    let tasks = world.submit(200);
    let deaths = run(&mut world, &tasks[10..13]);
    assert!(deaths <= 9, "{deaths}");
    for (index, task) in tasks.iter().enumerate() {
        let expected = (10..13).contains(&index).then_some(ErrorCode::GaveUp);
        assert_eq!(world.code(*task), expected, "{task}: {}", world.message(*task));
    }
}

#[test]
fn a_connection_that_breaks_while_its_process_lives_is_no_death() {
    let policy = RetryPolicy { max_attempts: 20, ..RetryPolicy::default() };
    let mut world = World::with(policy, Balance::RoundRobin);
    let workers = [world.join(1), world.join(1)];
    let task = world.submit(1)[0];
    for _ in 0..4 {
        for worker in workers {
            world.pass(ms(2500));
            world.lose(worker, &Cause::ConnectionLost);
            world.up(worker);
        }
    }
    world.pass(ms(2500));
    assert!(world.sent.len() > 4, "it was there for many of them: {:?}", world.sent);
    let at = *workers.iter().find(|worker| world.at(**worker) == [task]).unwrap();
    world.finish(at, task);
    assert_eq!(world.code(task), None);
}

#[test]
fn a_client_that_loses_all_its_connections_at_once_convicts_nobody() {
    for workers in [3, 5] {
        let mut world = World::new();
        let workers = world.team(workers, 1);
        let task = world.submit(1)[0];
        // It is sent on to workers whose loss has not been noticed yet.
        while let Some(&at) = workers.iter().find(|worker| world.at(**worker) == [task]) {
            world.lose(at, &Cause::ConnectionLost);
        }
        assert_eq!(world.sent.len(), 3);
        let others = workers.iter().filter(|worker| world.fakes[*worker].connected);
        others
            .copied()
            .collect::<Vec<_>>()
            .iter()
            .for_each(|other| world.lose(*other, &Cause::ConnectionLost));
        // The network is down for longer than a hearing takes.
        world.pass(ms(5000));
        workers.iter().for_each(|worker| world.up(*worker));
        world.pass(ms(2000));
        let at = *workers.iter().find(|worker| world.at(**worker) == [task]).unwrap();
        world.finish(at, task);
        assert_eq!(world.code(task), None);
    }
}

#[test]
fn a_suspect_that_is_half_cleared_is_still_run_alone() {
    let mut world = World::new();
    let (task, [first, _]) = bereave(&mut world);
    let third = world.join(1);
    assert_eq!(world.at(third), [task]);
    world.lose(third, &Cause::ConnectionLost);
    // It waits for its sentence, and one of its three deaths was none.
    world.up(first);
    let newcomer = world.join(4);
    assert_eq!(world.at(newcomer), [task]);
    let others = world.submit(3);
    assert_eq!(world.at(newcomer), [task], "{others:?} are for the other");
}

#[test]
fn a_worker_that_comes_back_even_from_outside_the_membership_was_not_killed() {
    let mut world = World::new();
    let (task, [first, second]) = bereave(&mut world);
    for worker in [first, second] {
        world.leave(worker);
        world.announce_as(worker, 1, &[KIND]);
        world.up(worker);
    }
    world.pass(ms(2000));
    let at = [first, second].into_iter().find(|worker| world.at(*worker) == [task]).unwrap();
    world.lose(at, &Cause::ConnectionLost);
    world.pass(ms(2000));
    assert!(!world.results.contains_key(&task), "one death is not three");
}

#[test]
fn a_suspect_waits_for_a_worker_to_be_empty_and_nothing_joins_it_there() {
    let mut world = World::new();
    let (task, _) = bereave(&mut world);
    let busy = world.join(2);
    assert_eq!(world.at(busy), [task], "it is empty");
    world.submit(10);
    world.pass(ms(500));
    assert_eq!(world.at(busy), [task]);
    world.finish(busy, task);
    assert_eq!(world.at(busy).len(), 10);
}

#[test]
fn a_suspect_that_waits_for_one_worker_takes_another_that_is_free_before() {
    let mut world = World::new();
    let workers = [world.join(1), world.join(1)];
    let task = world.submit(1)[0];
    let busy = world.announce(1, &[KIND, "other"]);
    world.up(busy);
    world.submit_as("other", 2);
    workers.iter().for_each(|worker| world.lose(*worker, &Cause::ConnectionLost));
    assert_eq!(world.at(busy).len(), 2, "what it has may take for ever");
    let free = world.join(1);
    assert_eq!(world.at(free), [task]);
    world.submit_as("other", 1);
    world.pass(ms(50));
    let done = world.at(busy)[0];
    world.finish(busy, done);
    assert_eq!(world.at(busy).len(), 2, "it is not kept for the suspect any more");
}

#[test]
fn cancelling_a_suspect_frees_the_worker_that_is_kept_for_it() {
    let mut world = World::new();
    let busy = world.announce(1, &[KIND, "other"]);
    world.up(busy);
    world.submit_as("other", 2);
    let (task, _) = bereave(&mut world);
    assert_eq!(world.at(busy).len(), 2, "it is kept, and not empty");
    let other = world.submit_as("other", 1)[0];
    let first = world.at(busy)[0];
    world.finish(busy, first);
    assert!(!world.at(busy).contains(&other));
    world.cancel(task);
    assert!(world.at(busy).contains(&other));
}

#[test]
fn a_suspect_that_is_cleared_frees_the_worker_that_was_kept_for_it() {
    let mut world = World::new();
    let (task, lost) = bereave(&mut world);
    let kept = world.join(1);
    assert_eq!(world.at(kept), [task]);
    // Both workers are alive after all.
    lost.iter().for_each(|worker| world.up(*worker));
    world.finish(kept, task);
    let tasks = world.submit(6);
    assert_eq!(world.at(kept).len(), 2, "{tasks:?} are placed on all three");
}

#[test]
fn a_suspect_that_is_cleared_before_its_turn_need_not_be_alone() {
    let mut world = World::new();
    let busy = world.announce(4, &[KIND, "other"]);
    world.up(busy);
    world.submit_as("other", 2);
    // Not to the one that has something already.
    world.core.suspect(busy);
    let (task, lost) = bereave(&mut world);
    world.core.pong(busy, ms(1));
    world.act();
    assert_eq!(world.at(busy).len(), 2, "what is there may take hours");
    lost.iter().for_each(|worker| world.up(*worker));
    assert!(world.at(busy).contains(&task));
}

#[test]
fn no_worker_is_emptied_for_a_suspect_while_another_has_nothing_to_do() {
    let mut world = World::new();
    let busy = world.join(1);
    let first = world.submit(1)[0];
    let key = world.key(busy, first);
    world.reply(busy, key, done(ms(100_000)));
    world.submit(2);
    let (task, _) = bereave(&mut world);
    let fresh = world.join(1);
    assert_eq!(world.at(fresh), [task], "it has finished nothing, and may do as well");
}

#[test]
fn a_worker_that_fails_a_cleared_suspect_is_not_kept_for_it_any_more() {
    let mut world = World::new();
    let (task, lost) = bereave(&mut world);
    let kept = world.announce(1, &[KIND, "other"]);
    world.up(kept);
    lost.iter().for_each(|worker| world.up(*worker));
    let key = world.key(kept, task);
    world.core.call_failed(kept, key, &Cause::Rpc("broken".to_owned()), world.now);
    world.act();
    let other = world.submit_as("other", 1);
    assert_eq!(world.at(kept), other);
}

#[test]
fn a_suspect_goes_elsewhere_when_its_worker_drains() {
    let mut world = World::new();
    let (task, _) = bereave(&mut world);
    let (leaving, staying) = (world.join(1), world.join(1));
    assert_eq!(world.at(leaving), [task]);
    world.refuse(leaving, task, Refusal::Draining);
    assert_eq!((world.at(leaving), world.at(staying)), (vec![], vec![task]));
}

#[test]
fn a_suspect_is_not_offered_again_and_again_to_a_full_worker() {
    let mut world = World::new();
    let (task, _) = bereave(&mut world);
    let full = world.join(1);
    let before = world.sent.len();
    for _ in 0..100 {
        if world.at(full) == [task] {
            world.refuse(full, task, Refusal::Overloaded);
        }
        world.pass(ms(50));
    }
    assert!(world.sent.len() - before < 20, "{} times in five seconds", world.sent.len() - before);
    world.pass(ms(1000));
    assert_eq!(world.at(full), [task]);
}
