//! The end of a job: work moves to whoever is idle, and stragglers get a backup.

use super::{NONE, fake::done, ms, world::World};
use crate::retry::Cause;
use sgdt_proto::{
    id::{TaskId, WorkerId},
    task::{Refusal, Reply},
};
use std::{collections::BTreeMap, time::Duration};

/// Has all workers run what they have, each task for as long as `pace` says, until all is done. Returns how long
/// that took.
fn run(world: &mut World, pace: impl Fn(u64, WorkerId) -> Duration) -> Duration {
    let (begin, mut started) = (world.now, BTreeMap::new());
    while !world.core.is_idle() {
        world.pass(ms(10));
        assert!(world.now - begin < ms(1_000_000), "it does not end");
        for worker in world.fakes.keys().copied().collect::<Vec<_>>() {
            while !world.fakes[&worker].recalls.is_empty() {
                world.give_back(worker, usize::MAX);
            }
            let fake = &world.fakes[&worker];
            let running: Vec<_> = fake.held.iter().take(fake.slots).copied().collect();
            for key in running {
                let start = *started.entry((worker, key.task, key.attempt)).or_insert(world.now);
                let run = pace(key.task.0, worker);
                if world.now - start >= run && world.fakes[&worker].held.contains(&key) {
                    world.reply(worker, key, done(run));
                }
            }
        }
    }
    world.now - begin
}

/// Two workers of one slot, which have run tasks for this long each before.
fn pair(run: Duration) -> (World, [WorkerId; 2]) {
    let mut world = World::new();
    let workers = [world.join(1), world.join(1)];
    world.submit(4);
    for worker in workers {
        while let Some(&key) = world.fakes[&worker].held.first() {
            world.reply(worker, key, done(run));
        }
    }
    world.sent.clear();
    (world, workers)
}

/// Has a worker that is asked for late tasks say that it runs them.
fn keep(world: &mut World, worker: WorkerId) {
    let begin = world.now;
    while world.fakes[&worker].recalls.is_empty() {
        assert!(world.now - begin < ms(10_000), "{worker} is asked for nothing");
        world.pass(ms(50));
    }
    world.give_back(worker, 0);
    world.pass(ms(50));
}

#[test]
fn queued_tasks_are_called_back_for_a_worker_that_appears() {
    let mut world = World::new();
    let first = world.join(1);
    let tasks = world.submit(2);
    world.pass(ms(500));
    assert_eq!(world.recalls, 0, "nobody is idle");
    let second = world.join(1);
    world.pass(ms(1000));
    assert_eq!(world.recalls, 1, "it is asked once, for the newest");
    world.give_back(first, 1);
    assert_eq!((world.at(first), world.at(second)), (vec![tasks[0]], vec![tasks[1]]));
    world.finish(second, tasks[1]);
    assert_eq!(world.results[&tasks[1]].attempts, 1, "it never ran at the first");
}

#[test]
fn a_worker_that_gives_nothing_back_is_asked_again_later() {
    let mut world = World::new();
    let first = world.join(1);
    let tasks = world.submit(2);
    let second = world.join(1);
    world.pass(ms(100));
    world.give_back(first, 0);
    assert_eq!(world.at(first), tasks);
    world.pass(ms(100));
    assert_eq!(world.recalls, 2);
    // Its answer is lost with the connection, and the question with it.
    world.lose(first, &Cause::Hung);
    world.finish(second, tasks[0]);
    world.finish(second, tasks[1]);
    world.up(first);
    world.submit(3);
    world.leave(second);
    world.join(2);
    world.pass(ms(1000));
    assert!(world.recalls > 2, "it can be asked again");
}

#[test]
fn an_attempt_that_is_given_back_and_asked_about_at_once_is_no_attempt() {
    let mut world = World::new();
    let first = world.join(1);
    let tasks = world.submit(2);
    let second = world.join(1);
    world.pass(ms(100));
    let key = world.key(first, tasks[1]);
    world.reply(first, key, Reply::Refused(Refusal::Unknown));
    world.give_back(first, 1);
    world.finish(second, tasks[1]);
    assert_eq!(world.results[&tasks[1]].attempts, 1);
}

#[test]
fn a_task_is_not_called_back_for_ever_for_a_worker_that_does_not_take_it() {
    let mut world = World::new();
    let first = world.join(1);
    let tasks = world.submit(2);
    let second = world.join(1);
    for _ in 0..1200 {
        world.pass(ms(50));
        if !world.fakes[&first].recalls.is_empty() {
            world.give_back(first, 1);
        }
        for task in world.at(second) {
            world.refuse(second, task, Refusal::Overloaded);
        }
    }
    assert!(world.recalls <= 3, "{} times", world.recalls);
    assert_eq!(world.at(first)[0], tasks[0]);
}

#[test]
fn work_is_called_back_although_tasks_of_a_kind_that_is_away_wait() {
    let mut world = World::new();
    world.announce(1, &["away"]);
    world.submit_as("away", 1);
    world.join(1);
    world.submit(2);
    world.join(1);
    world.pass(ms(100));
    assert_eq!(world.recalls, 1);
}

#[test]
fn a_straggler_gets_one_backup_and_the_loser_is_cancelled() {
    let (mut world, [first, second]) = pair(ms(300));
    let task = world.submit(1)[0];
    assert_eq!(world.at(first), [task]);
    world.pass(ms(900));
    assert_eq!(world.recalls, 0, "three times as long as its like, but not a second");
    keep(&mut world, first);
    assert_eq!(world.at(second), [task]);
    world.join(1);
    world.pass(ms(60_000));
    assert_eq!(world.sent, [(task, first), (task, second)], "one is enough");
    world.finish(second, task);
    assert_eq!((world.at(first), world.cancels), (vec![], 1));
    assert_eq!(world.results[&task].attempts, 2);
}

#[test]
fn a_late_task_that_only_waits_is_started_elsewhere_at_no_cost() {
    let (mut world, [first, second]) = pair(ms(300));
    let task = world.submit(1)[0];
    // Another client's tasks have its slot.
    world.fake(first).slots = 0;
    world.pass(ms(1050));
    assert_eq!((world.recalls, world.at(second)), (1, NONE.to_vec()), "it is asked for first");
    world.give_back(first, 1);
    assert_eq!((world.at(first), world.at(second)), (vec![], vec![task]));
    world.finish(second, task);
    assert_eq!((world.results[&task].attempts, world.core.backups), (1, 0));
}

#[test]
fn a_late_task_that_waits_everywhere_is_moved_ever_more_rarely() {
    let (mut world, workers) = pair(ms(300));
    let task = world.submit(1)[0];
    workers.iter().for_each(|&worker| world.fake(worker).slots = 0);
    for _ in 0..1200 {
        world.pass(ms(50));
        for worker in workers {
            if !world.fakes[&worker].recalls.is_empty() {
                world.give_back(worker, 1);
            }
        }
    }
    assert!((4..12).contains(&world.recalls), "{} times in a minute", world.recalls);
    assert_eq!((world.core.backups, world.core.tasks.get(&TaskId(task)).unwrap().attempts), (0, 1));
}

#[test]
fn a_late_task_whose_worker_does_not_say_whether_it_runs_gets_a_backup_soon() {
    let (mut world, [first, second]) = pair(ms(300));
    let task = world.submit(1)[0];
    world.pass(ms(1050));
    assert_eq!((world.recalls, world.at(second)), (1, NONE.to_vec()));
    world.pass(ms(300));
    assert_eq!((world.at(first), world.at(second)), (vec![task], vec![task]));
    // Its answer comes after all: it has not started it.
    world.fake(first).slots = 0;
    world.give_back(first, 1);
    world.finish(second, task);
    assert_eq!((world.results[&task].attempts, world.core.backups), (1, 0));
}

#[test]
fn either_of_the_two_can_be_lost_and_the_other_still_counts() {
    for survivor in [0, 1] {
        let (mut world, workers) = pair(ms(300));
        let task = world.submit(1)[0];
        world.pass(ms(1050));
        keep(&mut world, workers[0]);
        world.lose(workers[1 - survivor], &Cause::Hung);
        world.pass(ms(10_000));
        assert_eq!(world.sent.len(), 2, "no further one");
        world.finish(workers[survivor], task);
        assert_eq!(world.code(task), None);
    }
}

#[test]
fn a_backup_that_is_refused_is_tried_again_and_not_counted() {
    let (mut world, [first, second]) = pair(ms(300));
    let task = world.submit(1)[0];
    world.pass(ms(1050));
    keep(&mut world, first);
    world.refuse(second, task, Refusal::Overloaded);
    assert_eq!((world.at(first), world.core.backups), (vec![task], 0));
    world.pass(ms(1000));
    assert_eq!((world.at(second), world.core.backups), (vec![task], 1));
}

#[test]
fn there_are_no_backups_while_it_is_not_known_how_long_tasks_take() {
    let mut world = World::new();
    let (first, second) = (world.join(1), world.join(1));
    let tasks = world.submit(2);
    world.finish(second, tasks[1]);
    world.pass(ms(60_000));
    assert_eq!((world.at(first), world.at(second)), (vec![tasks[0]], vec![]));
}

#[test]
fn a_task_that_waited_in_a_queue_is_not_late_for_that() {
    let (mut world, [first, second]) = pair(ms(1000));
    let busy = world.submit(4);
    world.pass(ms(3100));
    // The two that wait had nobody to run them; those that run are late, and nobody is idle.
    assert_eq!(world.sent.len(), 4);
    let rest = world.at(second);
    rest.into_iter().for_each(|task| world.finish(second, task));
    while !world.fakes[&first].recalls.is_empty() {
        world.give_back(first, 0);
    }
    keep(&mut world, first);
    assert_eq!(world.at(second), [busy[0]], "the one that runs is backed up, the one behind it is not");
}

#[test]
fn an_even_job_costs_no_extra_work() {
    let mut world = World::new();
    world.team(4, 2);
    world.submit(400);
    let took = run(&mut world, |task, _| ms(1400 + task * 7919 % 200));
    assert_eq!((world.core.backups, world.cancels), (0, 0));
    assert!(took < ms(400 * 1500 / 8 + 3000), "{took:?}");
}

#[test]
fn a_job_of_very_uneven_tasks_costs_at_most_one_in_twenty() {
    let mut world = World::new();
    world.team(4, 2);
    world.submit(400);
    run(&mut world, |task, _| ms(if task % 8 == 0 { 10_000 } else { 100 }));
    assert!(world.core.backups <= 21, "{}", world.core.backups);
}

#[test]
fn a_very_slow_worker_does_not_hold_the_job_up() {
    let mut world = World::new();
    let [slow, ..] = [world.join(2), world.join(2), world.join(2)];
    let healthy = 200 * 500 / 4;
    world.submit(200);
    let took = run(&mut world, |_, worker| ms(if worker == slow { 50_000 } else { 500 }));
    assert!(took < ms(2 * healthy), "{took:?}");
    assert_eq!(world.results.len(), 200);
}
