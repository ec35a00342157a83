//! What a session may take up.

use super::{Limits, Session};
use crate::{
    pool::Pool,
    testing::{self, error, key, kinds, simulated, task, tasks, word, words},
};
use proptest::prelude::*;
use serde_json::json;
use sgdt_proto::{
    buffer::Buffer,
    payload::{Format, Payload},
    task::{Completed, ErrorCode, Reply, TaskError},
    worker::MAX_MESSAGE,
};
use std::sync::Arc;

/// A session at a pool with one simulated slot.
fn session(limits: Limits) -> Arc<Session> {
    let pool = Arc::new(Pool::new(1_000));
    simulated().start(&pool, &Arc::new(kinds().0), 1).unwrap();
    testing::session(pool, limits)
}

#[tokio::test(start_paused = true)]
async fn an_output_too_large_to_send_is_an_error_result() {
    let session = session(Limits { output: 1_000, ..Limits::default() });
    let batch = vec![task(1, "echo", json!("x".repeat(998))), task(2, "echo", json!("x".repeat(999)))];
    let replies = session.execute(batch).await;
    assert_eq!(word(&replies[0]), "ok");
    let (code, message) = error(&replies[1]);
    assert_eq!(code, ErrorCode::TooLarge);
    assert!(message.contains("1001 bytes") && message.contains("at most 1000"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn outputs_beyond_an_answers_worth_are_collected_in_the_next_ones() {
    let session = session(Limits { answer: 250, ..Limits::default() });
    let replies = session.execute((0..5).map(|n| task(n, "echo", json!("x".repeat(98)))).collect()).await;
    assert_eq!(words(&replies), ["ok", "ok", "pending", "pending", "pending"]);
    let mut pending: Vec<_> = (2..5).map(key).collect();
    for expected in [2, 1] {
        let collected = session.collect(pending.clone()).await;
        assert_eq!(collected.len(), expected);
        pending.retain(|key| collected.iter().all(|(other, _)| other != key));
    }
    assert!(pending.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_holds_no_more_attempts_than_it_may() {
    let session = session(Limits { attempts: 3, ..Limits::default() });
    assert_eq!(words(&session.execute(tasks(0..4, 0)).await), ["overloaded"; 4], "a batch beyond all bounds");
    assert_eq!(words(&session.execute(tasks(0..2, 60_000)).await), ["ok", "pending"]);
    assert_eq!(words(&session.execute(tasks(2..5, 60_000)).await), ["pending", "pending", "overloaded"]);
    session.end();
    session.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_leaves_its_tasks_to_be_collected() {
    let session = session(Limits::default());
    tokio::select! {
        biased;
        _ = session.execute(tasks(0..1, 5)) => unreachable!(),
        () = std::future::ready(()) => {}
    }
    let collected = session.collect(vec![key(0)]).await;
    assert_eq!(word(&collected[0].1), "ok");
}

#[tokio::test(start_paused = true)]
async fn asking_for_nothing_is_answered_with_nothing() {
    let session = session(Limits::default());
    assert!(session.execute(Vec::new()).await.is_empty());
    assert!(session.collect(Vec::new()).await.is_empty());
    assert!(session.recall(vec![key(1)]).is_empty());
}

#[test]
fn a_result_with_too_many_buffers_or_words_is_cut_down() {
    let limits = Limits { segments: 2, ..Limits::default() };
    let buffers = vec![Buffer::from(vec![1u8]); 3];
    let scattered = Payload { format: Format::Packed, head: vec![0].into(), buffers };
    assert_eq!(limits.apply(Ok(scattered)).unwrap_err().code, ErrorCode::TooLarge);
    let rambling = TaskError::invalid_input("é".repeat(1 << 20));
    let cut = limits.apply(Err(rambling)).unwrap_err();
    assert!(cut.code == ErrorCode::InvalidInput && cut.message.len() < 5_000);
}

proptest! {
    /// The largest output by itself, or the fullest answer and one output less than fills it, with nothing but
    /// refusals in the other places.
    #[test]
    fn no_answer_is_longer_than_a_message_may_be(places in 1usize..=65_536, key_bits: u64, alone: bool) {
        let limits = Limits::default();
        let output = if alone { limits.output } else { 2 * limits.answer as u64 };
        let mut key = key(key_bits);
        key.job.0 = key_bits;
        key.attempt.0 = u32::MAX;
        let error = TaskError::invalid_input(String::new());
        let done = Reply::Done(Completed { run_us: u64::MAX, result: Err(error) });
        let place = postcard::to_stdvec(&(key, done)).unwrap().len() as u64;
        let outputs = if alone { 1 } else { places as u64 };
        prop_assert!(outputs * place + (places as u64 - outputs) * 2 + output + 16 <= MAX_MESSAGE);
    }
}
