//! What happens to tasks whose dispatches fail.

use super::{NONE, fake::done, ms, world::World};
use crate::{
    balance::Balance,
    retry::{Cause, RetryPolicy},
};
use sgdt_proto::{
    id::{Attempt, AttemptKey, JobId},
    task::{Completed, ErrorCode, Refusal, Reply, TaskError},
};

#[test]
fn a_lost_worker_s_tasks_go_at_once_to_workers_that_they_have_not_failed_on() {
    for cause in [Cause::ConnectionLost, Cause::Hung] {
        let mut world = World::new();
        let workers = [world.join(1), world.join(1), world.join(1)];
        let task = world.submit(1)[0];
        world.lose(workers[0], &cause);
        world.up(workers[0]);
        world.lose(workers[1], &cause);
        world.up(workers[1]);
        assert_eq!(world.sent, workers.map(|worker| (task, worker)), "{cause}");
        world.finish(workers[2], task);
        assert_eq!(world.results[&task].attempts, 3);
    }
}

#[test]
fn a_lease_that_ends_redirects() {
    let mut world = World::new();
    let (first, second) = (world.join(1), world.join(1));
    let task = world.submit(1)[0];
    world.leave(first);
    assert_eq!(world.at(second), [task]);
    world.finish(second, task);
    assert_eq!(world.results[&task].attempts, 2);
}

#[test]
fn refusals_are_no_attempts() {
    let mut world = World::new();
    let worker = world.join(1);
    let task = world.submit(1)[0];
    for _ in 0..20 {
        world.refuse(worker, task, Refusal::Overloaded);
        assert_eq!(world.at(worker), NONE, "it gets a moment to empty its queue");
        world.pass(ms(1000));
        assert_eq!(world.at(worker), [task]);
    }
    world.finish(worker, task);
    assert_eq!(world.results[&task].attempts, 1);
}

#[test]
fn a_refused_task_goes_to_another_worker_at_once() {
    let mut world = World::new();
    let (first, second) = (world.join(4), world.join(4));
    let task = world.submit(1)[0];
    world.refuse(first, task, Refusal::Overloaded);
    assert_eq!(world.at(second), [task]);
}

#[test]
fn a_task_that_is_too_large_for_one_worker_goes_to_another_and_never_back() {
    let mut world = World::new();
    let (small, large) = (world.join(1), world.join(1));
    let task = world.submit(1)[0];
    world.too_large(small, task);
    assert_eq!(world.at(large), [task]);
    world.lose(large, &Cause::Hung);
    world.pass(ms(3000));
    assert_eq!(world.at(small), NONE, "it has said no");
    world.up(large);
    world.pass(ms(3000));
    world.finish(large, task);
    assert_eq!((world.code(task), world.results[&task].attempts), (None, 2));
}

#[test]
fn a_task_that_is_too_large_for_every_worker_is_told_so_once_all_have_been_asked() {
    let mut world = World::new();
    let (first, second) = (world.join(1), world.join(1));
    let task = world.submit(1)[0];
    world.too_large(first, task);
    world.too_large(second, task);
    assert_eq!((world.code(task), world.results[&task].attempts), (Some(ErrorCode::TooLarge), 1));
    assert!(world.message(task).contains("bytes"), "{}", world.message(task));

    // The only one that might have taken it leaves.
    let task = world.submit(1)[0];
    world.too_large(first, task);
    world.leave(second);
    assert_eq!(world.code(task), Some(ErrorCode::TooLarge), "{}", world.message(task));
}

#[test]
fn a_task_rests_only_where_nobody_else_can_take_it() {
    let mut world = World::new();
    let first = world.join(1);
    let task = world.submit(1)[0];
    world.lose(first, &Cause::Hung);
    world.up(first);
    assert_eq!(world.at(first), NONE, "it has failed here a moment ago");
    world.pass(ms(100));
    assert_eq!(world.at(first), [task]);

    world.lose(first, &Cause::Hung);
    world.up(first);
    assert_eq!(world.at(first), NONE);
    let second = world.join(1);
    assert_eq!(world.at(second), [task], "a worker that appears need not wait for the rest to end");
}

#[test]
fn a_task_that_keeps_failing_is_given_up_with_what_each_attempt_met() {
    let mut world =
        World::with(RetryPolicy { max_attempts: 3, ..RetryPolicy::default() }, Balance::RoundRobin);
    let worker = world.join(1);
    let task = world.submit(1)[0];
    for detail in ["first", "second", "third"] {
        world.pass(ms(2000));
        let key = world.key(worker, task);
        world.core.call_failed(worker, key, &Cause::Rpc(detail.to_owned()), world.now);
        world.act();
    }
    assert_eq!((world.code(task), world.results[&task].attempts), (Some(ErrorCode::GaveUp), 3));
    let message = world.message(task);
    for part in ["3 attempts failed", "attempt 1 on w", "first", "second", "third"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.cancels, 3, "whatever the calls carried is not left running");
}

#[test]
fn only_the_reply_to_the_live_dispatch_counts() {
    let mut world = World::new();
    let (first, second) = (world.join(1), world.join(1));
    let task = world.submit(1)[0];
    let old = world.key(first, task);
    world.lose(first, &Cause::Hung);
    let live = world.key(second, task);
    assert_eq!((old.attempt, live.attempt), (Attempt(1), Attempt(2)));
    world.up(first);
    for (from, key) in [
        (first, old),
        (first, live),
        (second, old),
        (second, AttemptKey { job: JobId(9), ..live }),
        (second, AttemptKey { attempt: Attempt(3), ..live }),
    ] {
        for reply in [done(ms(1)), Reply::Refused(Refusal::Overloaded), Reply::Refused(Refusal::Unknown)] {
            world.core.reply(from, key, reply, world.now);
            world.act();
        }
        world.core.call_failed(from, key, &Cause::Rpc("late".to_owned()), world.now);
        world.core.recalled(from, &[key], world.now);
        world.act();
        assert_eq!(world.at(second), [task], "{key:?} from {from}");
    }
    assert!(world.results.is_empty());
    world.reply(second, live, done(ms(1)));
    world.core.reply(second, live, done(ms(1)), world.now);
    world.act();
    assert_eq!(world.results.len(), 1);
}

#[test]
fn a_task_that_failed_on_one_worker_and_was_refused_by_the_other_is_not_stuck() {
    let mut world = World::new();
    let (first, second) = (world.join(1), world.join(1));
    let task = world.submit(1)[0];
    world.lose(first, &Cause::Hung);
    world.up(first);
    world.refuse(second, task, Refusal::Overloaded);
    world.pass(ms(1000));
    assert_eq!(world.at(second), [task], "who only refused it suits it better than who failed");
}

#[test]
fn a_better_worker_that_stays_full_is_not_waited_for() {
    let mut world = World::new();
    let (first, full) = (world.join(1), world.join(1));
    let tasks = world.submit(4);
    assert_eq!(world.at(full).len(), 2);
    world.cancel(tasks[2]);
    world.lose(first, &Cause::Hung);
    world.up(first);
    assert_eq!(world.at(first), NONE, "the other may have room in a moment");
    world.pass(ms(400));
    assert!(world.at(first).contains(&tasks[0]), "but a task there can take hours");
}

#[test]
fn what_has_failed_twice_waits_for_a_worker_that_has_finished_something_and_longer_every_time() {
    let mut world = World::new();
    let proven = world.join(1);
    let first = world.submit(1)[0];
    let key = world.key(proven, first);
    world.reply(proven, key, done(ms(100_000)));
    // It is full.
    world.submit(2);
    let mut stopped = world.join(1);
    let task = world.submit(1)[0];
    let fresh = world.join(1);
    world.lose(stopped, &Cause::Hung);
    assert_eq!(world.at(fresh), [task], "once proves nothing");
    stopped = fresh;
    for patience in [250, 500, 1000] {
        let fresh = world.join(1);
        world.lose(stopped, &Cause::Hung);
        world.pass(ms(patience - 100));
        assert_eq!(world.at(fresh), NONE, "{patience} ms: it may be no better");
        world.pass(ms(200));
        assert_eq!(world.at(fresh), [task], "{patience} ms: what the other has may take hours");
        stopped = fresh;
    }
}

#[test]
fn what_has_failed_twice_goes_to_a_worker_that_has_finished_something_as_soon_as_it_has_room() {
    let mut world = World::new();
    let slowly = |world: &mut World, worker, task| {
        let key = world.key(worker, task);
        world.reply(worker, key, done(ms(1000)));
    };
    let proven = world.join(1);
    let first = world.submit(1)[0];
    slowly(&mut world, proven, first);
    let kept = world.submit(2);
    let stopped = world.join(1);
    let task = world.submit(1)[0];
    let stopped_too = world.join(1);
    world.lose(stopped, &Cause::Hung);
    let fresh = world.join(1);
    world.lose(stopped_too, &Cause::Hung);
    assert_eq!(world.at(fresh), NONE);
    slowly(&mut world, proven, kept[0]);
    assert!(world.at(proven).contains(&task));
}

#[test]
fn a_kernel_that_calls_itself_cancelled_is_not_run_for_ever() {
    let mut world = World::new();
    let worker = world.join(1);
    let task = world.submit(1)[0];
    for _ in 0..5 {
        world.pass(ms(2000));
        let result = Err(TaskError::new(ErrorCode::Cancelled, "so there"));
        let key = world.key(worker, task);
        world.reply(worker, key, Reply::Done(Completed { run_us: 1, result }));
    }
    assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
}

#[test]
fn a_worker_that_hands_tasks_back_unasked_does_not_do_so_for_ever() {
    let mut world = World::new();
    let worker = world.join(1);
    let task = world.submit(1)[0];
    for _ in 0..5 {
        world.pass(ms(2000));
        world.refuse(worker, task, Refusal::Recalled);
    }
    assert_eq!(world.code(task), Some(ErrorCode::GaveUp));
}

#[test]
fn a_task_s_own_error_is_final() {
    let mut world = World::new();
    let worker = world.join(1);
    world.join(1);
    let task = world.submit(1)[0];
    let key = world.key(worker, task);
    let result = Err(TaskError::invalid_input("n is negative"));
    world.reply(worker, key, Reply::Done(Completed { run_us: 1, result }));
    assert_eq!((world.code(task), world.sent.len()), (Some(ErrorCode::InvalidInput), 1));
}

#[test]
fn further_redirects_are_within_the_budget_and_the_others_wait() {
    let mut world = World::new();
    let (first, second) = (world.join(50), world.join(50));
    world.submit(50);
    world.lose(first, &Cause::Hung);
    assert_eq!(world.at(second).len(), 50, "a first redirect is free");
    let third = world.join(50);
    world.lose(second, &Cause::Hung);
    assert_eq!(world.at(third).len(), 10, "the reserve of the budget");
    world.pass(ms(150));
    assert_eq!(world.at(third).len(), 50);
}
