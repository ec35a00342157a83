//! A session's attempts, one step at a time.

use super::{Handed, Progress, Room, Table};
use crate::{
    queue::Ticket,
    session::Limits,
    testing::{key, word},
};
use sgdt_proto::{
    payload::{Format, Payload},
    task::{Completed, Refusal, Reply},
};

fn done(run_us: u64, bytes: usize) -> Reply {
    let payload = Payload { format: Format::Json, head: vec![b' '; bytes].into(), buffers: Vec::new() };
    Reply::Done(Completed { run_us, result: Ok(payload) })
}

fn handed(handed: &Handed) -> &'static str {
    match handed {
        Handed::Reply(reply) => word(reply),
        Handed::NotYet => "not yet",
        Handed::Gone => "gone",
    }
}

fn room() -> Room {
    Room::new(&Limits::default())
}

#[test]
fn a_call_is_woken_for_the_first_and_the_last_of_its_attempts() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let tickets: Vec<_> = (0..4).map(|n| table.admit(key(n), waiter, 9).unwrap().0).collect();
    assert_eq!(table.progress(waiter), Progress::None);
    let mut woken = Vec::new();
    for (n, ticket) in (0..).zip(tickets) {
        drop(table.settle(&key(n), ticket, done(n, 0)));
        woken.push(table.take_wakes().len());
    }
    assert_eq!(woken, [1, 0, 0, 1]);
    assert_eq!(table.progress(waiter), Progress::All);
}

#[test]
fn a_call_waits_on_after_quick_ones_and_not_after_slow_ones() {
    for (run_us, brisk) in [(999, true), (1_000, false)] {
        let mut table = Table::default();
        let (waiter, _) = table.wait();
        let (ticket, _) = table.admit(key(1), waiter, 9).unwrap();
        table.admit(key(2), waiter, 9).unwrap();
        drop(table.settle(&key(1), ticket, done(run_us, 0)));
        assert_eq!(table.progress(waiter), Progress::Some { brisk });
    }
}

#[test]
fn a_result_is_handed_out_once_and_leaves_nothing_behind() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let (ticket, _) = table.admit(key(1), waiter, 9).unwrap();
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "not yet");
    drop(table.settle(&key(1), ticket, done(1, 0)));
    assert!(!table.is_empty());
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "ok");
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "gone");
    assert!(table.is_empty());
}

#[test]
fn the_end_of_a_cancelled_attempt_is_not_taken_for_that_of_its_successor() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let (first, cancel) = table.admit(key(1), waiter, 9).unwrap();
    table.cancel(key(1));
    assert!(cancel.is_cancelled());
    let (second, _) = table.admit(key(1), waiter, 9).unwrap();
    drop(table.settle(&key(1), first, done(1, 0)));
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "not yet");
    drop(table.settle(&key(1), second, done(1, 0)));
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "ok");
}

#[test]
fn what_is_not_admitted_says_why() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    table.admit(key(1), waiter, 1).unwrap();
    let mut refusal = |key| table.admit(key, waiter, 1).unwrap_err();
    assert_eq!(refusal(key(1)), Refusal::Unknown);
    assert_eq!(refusal(key(2)), Refusal::Overloaded);
    table.cancel(key(2));
    assert_eq!(table.admit(key(2), waiter, 9).unwrap_err(), Refusal::Recalled);
    table.end();
    assert_eq!(table.admit(key(3), waiter, 9).unwrap_err(), Refusal::Draining);
}

#[test]
fn the_last_call_to_ask_gets_the_result_and_the_one_before_does_not_wait_for_ever() {
    let mut table = Table::default();
    let (batch, _) = table.wait();
    let (ticket, _) = table.admit(key(1), batch, 9).unwrap();
    let (collect, _) = table.wait();
    assert!(table.attach(&key(1), collect));
    assert!(table.attach(&key(1), collect), "named twice");
    assert!(!table.attach(&key(2), collect));
    assert_eq!(table.take_wakes().len(), 1);
    assert_eq!(table.progress(batch), Progress::All);
    assert_eq!(table.progress(collect), Progress::Some { brisk: true });
    drop(table.settle(&key(1), ticket, done(1, 0)));
    assert_eq!(table.take_wakes().len(), 1);
    assert_eq!(table.progress(collect), Progress::All);
}

#[test]
fn a_call_that_was_given_up_is_not_woken_and_its_attempts_go_on() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let (ticket, cancel) = table.admit(key(1), waiter, 9).unwrap();
    table.stop_waiting(waiter);
    drop(table.settle(&key(1), ticket, done(1, 0)));
    assert!(table.take_wakes().is_empty() && !cancel.is_cancelled());
    let (collect, _) = table.wait();
    assert!(table.attach(&key(1), collect));
    assert_eq!(table.progress(collect), Progress::All);
}

#[test]
fn abandoned_attempts_stop_and_have_an_answer_that_a_late_result_does_not_change() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let (ticket, cancel) = table.admit(key(1), waiter, 9).unwrap();
    table.abandon(Refusal::Draining);
    assert!(cancel.is_cancelled());
    assert!(table.settle(&key(1), ticket, done(1, 0)).is_some());
    assert_eq!(handed(&table.hand_out(&key(1), waiter, &mut room())), "draining");
}

#[test]
fn an_answer_takes_what_fits_and_always_something() {
    let limits = Limits { answer: 100, segments: 2, ..Limits::default() };
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    for (n, bytes) in [(1, 1_000), (2, 1), (3, 60), (4, 60), (5, 40)] {
        let (ticket, _) = table.admit(key(n), waiter, 9).unwrap();
        drop(table.settle(&key(n), ticket, done(1, bytes)));
    }
    let answer = |table: &mut Table| {
        let mut room = Room::new(&limits);
        (1..6).filter(|&n| handed(&table.hand_out(&key(n), waiter, &mut room)) == "ok").collect::<Vec<_>>()
    };
    assert_eq!(answer(&mut table), [1], "more than an answer's worth goes by itself");
    assert_eq!(answer(&mut table), [2, 3]);
    assert_eq!(answer(&mut table), [4, 5]);
}

#[test]
fn a_ticket_is_told_for_what_is_queued_or_running() {
    let mut table = Table::default();
    let (waiter, _) = table.wait();
    let (ticket, _) = table.admit(key(1), waiter, 9).unwrap();
    assert_eq!(table.ticket(&key(1)), Some(ticket));
    drop(table.settle(&key(1), Ticket(ticket.0 + 1), done(1, 0)));
    assert_eq!(table.ticket(&key(1)), Some(ticket), "another's end");
    drop(table.settle(&key(1), ticket, done(1, 0)));
    assert_eq!(table.ticket(&key(1)), None);
    assert_eq!(table.ticket(&key(2)), None);
}
