//! The queue against a model too simple to be wrong, and the properties that it is there for.

use super::{Capacity, Charge, FairQueue, LEAST, SHARE, SessionId, Ticket, UNKNOWN};
use proptest::prelude::*;
use std::time::Duration;

/// A lane, kept in a list. Items are (session, ticket).
struct Row {
    session: u64,
    items: Vec<(u64, u64)>,
    time: u64,
    number: u64,
    running: u64,
    mean: Option<u64>,
}

/// How many bytes an item has.
fn size(ticket: u64) -> usize {
    (ticket * 7 % 5) as usize * 10
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    now: u64,
    mean: Option<u64>,
    number: u64,
}

impl Model {
    fn row(&mut self, session: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.session == session)
    }

    fn len(&self) -> usize {
        self.rows.iter().map(|row| row.items.len()).sum()
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The sessions that have items, in the order of their turns, each with its time.
    fn turns(&self) -> Vec<(u64, u64)> {
        let waiting = self.rows.iter().filter(|row| !row.items.is_empty());
        let mut turns: Vec<_> = waiting.map(|row| (row.time, row.number, row.session)).collect();
        turns.sort_unstable();
        turns.into_iter().map(|(time, _, session)| (time, session)).collect()
    }

    fn bytes(&self, row: &Row) -> usize {
        row.items.iter().map(|item| size(item.1)).sum()
    }

    /// Who holds most that is more than so much, by this measure.
    fn giver(&self, held: impl Fn(&Row) -> usize, than: usize) -> Option<usize> {
        let most = self.rows.iter().enumerate().max_by_key(|(_, row)| (held(row), row.session));
        most.filter(|(_, row)| than < held(row)).map(|(at, _)| at)
    }

    fn push(&mut self, item: (u64, u64), capacity: Capacity) -> Vec<(u64, u64)> {
        let mut shed = Vec::new();
        loop {
            let own = self.rows.iter().find(|row| row.session == item.0);
            let (items, bytes) = own.map_or((0, 0), |row| (row.items.len(), self.bytes(row)));
            let total: usize = self.rows.iter().map(|row| self.bytes(row)).sum();
            let giver = if self.len() >= capacity.items {
                self.giver(|row| row.items.len(), items + 1)
            } else if self.len() > 0 && total + size(item.1) > capacity.bytes {
                self.giver(|row| self.bytes(row), bytes + size(item.1))
            } else {
                break;
            };
            match giver {
                Some(giver) => shed.extend(self.rows[giver].items.pop()),
                None => {
                    shed.push(item);
                    return shed;
                }
            }
        }
        let turns = self.turns();
        let number = self.next();
        if self.row(item.0).is_none() {
            self.rows.push(Row { session: item.0, items: vec![], time: 0, number, running: 0, mean: None });
        }
        if let ([first, ..], [.., last]) = (&turns[..], &turns[..])
            && !turns.iter().any(|turn| turn.1 == item.0)
        {
            self.now = self.now.clamp(first.0, last.0);
        }
        let now = self.now;
        let row = self.row(item.0).unwrap();
        if row.items.is_empty() {
            (row.time, row.number) = (row.time.max(now), number);
        }
        row.items.push(item);
        shed
    }

    /// The item, its session and what it is charged.
    fn pop(&mut self) -> Option<((u64, u64), u64)> {
        let turns = self.turns();
        let (number, any) = (self.next(), self.mean);
        let row = self.row(turns.first()?.1).unwrap();
        let time = row.mean.or(any).unwrap_or(UNKNOWN);
        let item = row.items.remove(0);
        row.time += time;
        row.number = number;
        row.running += 1;
        self.now += time / turns.len() as u64;
        self.forget();
        Some((item, time))
    }

    fn finish(&mut self, session: u64, charged: u64, run: u64) {
        let run = run.max(LEAST);
        let average = |mean: Option<u64>| mean.map_or(run, |mean| mean - mean / SHARE + run / SHARE);
        let share = self.turns().len().max(1) as u64;
        self.mean = Some(average(self.mean));
        self.now = (self.now + run / share).saturating_sub(charged / share);
        if let Some(row) = self.row(session) {
            row.mean = Some(average(row.mean));
            row.time = (row.time + run).saturating_sub(charged);
            row.running = row.running.saturating_sub(1);
            self.forget();
        }
    }

    fn forget(&mut self) {
        let least = self.turns().first().map_or(self.now, |first| first.0.min(self.now));
        self.rows.retain(|row| !row.items.is_empty() || row.running > 0 || row.time > least);
    }

    fn remove_session(&mut self, session: u64) -> Vec<(u64, u64)> {
        let at = self.rows.iter().position(|row| row.session == session);
        at.map_or(Vec::new(), |at| self.rows.remove(at).items)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Pop,
    /// One of those that run ends, after so many microseconds.
    Finish(usize, u64),
    Remove(u64, u64),
    RemoveSession(u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..4u64).prop_map(Step::Push),
        6 => Just(Step::Pop),
        6 => (0..8usize, 0..3000u64).prop_map(|(at, run)| Step::Finish(at, run)),
        3 => (0..4u64, 0..60u64).prop_map(|(session, ticket)| Step::Remove(session, ticket)),
        1 => (0..4u64).prop_map(Step::RemoveSession),
        1 => Just(Step::Drain),
    ]
}

proptest! {
    #[test]
    fn the_queue_does_what_its_model_does(
        (items, bytes) in (0usize..12, 0usize..200),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let capacity = Capacity { items, bytes };
        let mut queue = FairQueue::new();
        let mut model = Model::default();
        let mut running: Vec<Charge> = Vec::new();
        for (ticket, step) in (0..).zip(steps) {
            match step {
                Step::Push(session) => {
                    let item = (session, ticket);
                    let pushed = queue.push(SessionId(session), Ticket(ticket), item, size(ticket), capacity);
                    prop_assert_eq!(pushed, model.push(item, capacity));
                }
                Step::Pop => {
                    let popped = queue.pop();
                    prop_assert_eq!(popped.map(|(item, charge)| (item, charge.time)), model.pop());
                    running.extend(popped.map(|(_, charge)| charge));
                }
                Step::Finish(at, run) => if !running.is_empty() {
                    let charge = running.swap_remove(at % running.len());
                    queue.finish(charge, Duration::from_micros(run));
                    model.finish(charge.session.0, charge.time, run * 1000);
                },
                Step::Remove(session, ticket) => {
                    let removed = queue.remove(SessionId(session), Ticket(ticket));
                    let row = model.row(session);
                    let at = row.as_ref().and_then(|row| row.items.iter().position(|item| item.1 == ticket));
                    prop_assert_eq!(removed, row.zip(at).map(|(row, at)| row.items.remove(at)));
                }
                Step::RemoveSession(session) => {
                    prop_assert_eq!(queue.remove_session(SessionId(session)), model.remove_session(session));
                }
                Step::Drain => {
                    let turns = model.turns();
                    let items = turns.into_iter().flat_map(|(_, session)| model.remove_session(session));
                    prop_assert_eq!(queue.drain(), items.collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert!(queue.len() <= items);
            prop_assert!(queue.bytes <= bytes || queue.len() == 1);
            prop_assert_eq!(queue.lanes.len(), model.rows.len());
            let turns: Vec<_> = queue.turns.iter().map(|(turn, session)| (turn.0, session.0)).collect();
            prop_assert_eq!(turns, model.turns());
            prop_assert_eq!(queue.bytes, model.rows.iter().map(|row| model.bytes(row)).sum::<usize>());
            let idle = model.rows.iter().filter(|row| row.items.is_empty() && row.running == 0);
            prop_assert_eq!(queue.resting.len(), idle.count());
        }
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Adds an item that is its session's number.
fn add(queue: &mut FairQueue<u64>, session: u64, ticket: u64) {
    let capacity = Capacity { items: usize::MAX, bytes: usize::MAX };
    assert!(queue.push(SessionId(session), Ticket(ticket), session, 1, capacity).is_empty());
}

/// A queue in which these sessions have so many items each, which are their sessions' numbers.
fn filled(sessions: &[(u64, u64)]) -> FairQueue<u64> {
    let mut queue = FairQueue::new();
    for &(session, items) in sessions {
        for ticket in 0..items {
            add(&mut queue, session, ticket);
        }
    }
    queue
}

/// Runs so many items on one slot, each for as long as `pace` says, and says whose they were.
fn run(queue: &mut FairQueue<u64>, items: usize, pace: impl Fn(u64) -> Duration) -> Vec<u64> {
    let next = || {
        let (session, charge) = queue.pop()?;
        queue.finish(charge, pace(session));
        Some(session)
    };
    std::iter::from_fn(next).take(items).collect()
}

fn count(served: &[u64], session: u64) -> usize {
    served.iter().filter(|&&served| served == session).count()
}

#[test]
fn a_client_with_ten_tasks_is_not_made_to_wait_for_one_with_a_million() {
    let mut queue = filled(&[(1, 100_000), (2, 10)]);
    let first = run(&mut queue, 20, |_| ms(1));
    assert_eq!(count(&first, 2), 10);
}

#[test]
fn short_tasks_do_not_wait_for_as_many_long_ones() {
    let mut queue = filled(&[(1, 100), (2, 100)]);
    let first = run(&mut queue, 103, |session| ms(if session == 1 { 400 } else { 1 }));
    assert_eq!(count(&first, 2), 100, "{first:?}");
}

#[test]
fn what_runs_counts_before_it_is_done() {
    let mut queue = filled(&[(1, 1)]);
    run(&mut queue, 1, |_| ms(400));
    for ticket in 1..10 {
        add(&mut queue, 1, ticket);
        add(&mut queue, 2, ticket);
    }
    let mut slots: Vec<_> = std::iter::from_fn(|| queue.pop()).take(4).collect();
    assert_eq!(slots.iter().filter(|(session, _)| *session == 1).count(), 2);
    // The short ones end at once, and their lane goes on in the slots that they leave.
    slots.retain(|(session, charge)| {
        let long = *session == 1;
        if !long {
            queue.finish(*charge, ms(1));
        }
        long
    });
    assert_eq!(run(&mut queue, 7, |_| ms(1)), [2; 7]);
}

#[test]
fn a_client_that_was_away_has_saved_nothing_up() {
    let mut queue = filled(&[(1, 1000), (2, 1)]);
    run(&mut queue, 500, |_| ms(10));
    for ticket in 1..500 {
        add(&mut queue, 2, ticket);
    }
    let next = run(&mut queue, 100, |_| ms(10));
    assert!((49..=51).contains(&count(&next, 2)), "{next:?}");
}

#[test]
fn a_client_that_had_the_worker_to_itself_does_not_pay_for_that() {
    let mut queue = filled(&[(1, 1000)]);
    run(&mut queue, 500, |_| ms(10));
    for ticket in 0..500 {
        add(&mut queue, 2, ticket);
    }
    let next = run(&mut queue, 100, |_| ms(10));
    assert!((49..=51).contains(&count(&next, 1)), "{next:?}");
}

#[test]
fn a_stream_of_new_clients_does_not_keep_an_old_one_from_its_turn() {
    let mut queue = filled(&[(0, 20)]);
    let mut served = 0;
    for newcomer in 1..80 {
        add(&mut queue, newcomer, 0);
        served += count(&run(&mut queue, 1, |_| ms(100)), 0);
    }
    // With every turn that it gets one more of them waits beside it, and has a claim to as much.
    assert!(served >= 6, "{served}");
}

#[test]
fn lanes_without_work_are_forgotten() {
    let mut queue = filled(&[(0, 2000)]);
    for newcomer in 1..1000 {
        add(&mut queue, newcomer, 0);
        run(&mut queue, 2, |session| ms(session % 7));
    }
    run(&mut queue, usize::MAX, |_| ms(1));
    assert!(queue.lanes.len() < 10, "{}", queue.lanes.len());
}

#[test]
fn a_full_queue_makes_room_for_who_holds_less_at_the_expense_of_who_holds_most() {
    let mut queue = FairQueue::new();
    let capacity = Capacity { items: 4, bytes: usize::MAX };
    let mut push =
        |session, ticket| queue.push(SessionId(session), Ticket(ticket), (session, ticket), 1, capacity);
    for ticket in 0..4 {
        assert_eq!(push(1, ticket), []);
    }
    assert_eq!(push(1, 4), [(1, 4)], "its own doing");
    assert_eq!(push(2, 0), [(1, 3)], "the newest goes");
    assert_eq!(push(2, 1), [(1, 2)]);
    assert_eq!(push(2, 2), [(2, 2)], "both hold the same now");
    assert_eq!(push(1, 5), [(1, 5)]);
}

#[test]
fn a_queue_full_of_bytes_makes_room_at_the_expense_of_who_holds_most_bytes() {
    let mut queue = FairQueue::new();
    let capacity = Capacity { items: 100, bytes: 1000 };
    let mut push = |session, ticket, bytes| {
        queue.push(SessionId(session), Ticket(ticket), (session, ticket), bytes, capacity)
    };
    assert_eq!(push(1, 0, 5000), [], "by itself it may be of any size");
    assert_eq!(push(2, 0, 1), [(1, 0)], "but then it is the first to go");
    for ticket in 1..=9 {
        assert_eq!(push(1, ticket, 100), []);
    }
    assert_eq!(push(1, 10, 100), [(1, 10)], "its own doing");
    assert_eq!(push(2, 1, 300), [(1, 9), (1, 8), (1, 7)], "the newest go");
    assert_eq!(push(2, 2, 300), [(2, 2)], "it would hold as much as the other");
}
