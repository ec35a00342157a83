//! Large payloads, out and back, the next one sent when the last one is there.

use super::{
    BenchError, check,
    report::{Histogram, Report},
};
use crate::{client::Client, dispatch::TaskSpec};
use sgdt_proto::{
    buffer::Buffer,
    id::Kind,
    payload::{Format, Payload},
};
use std::time::Duration;
use tokio::time::Instant;

/// How many are not counted: connections and the memory for payloads are cold at first.
const WARM_UP: u64 = 2;

pub(super) async fn measure(
    client: &Client,
    kind: &Kind,
    tasks: u64,
    size: usize,
) -> Result<Report, BenchError> {
    let sent = buffer(size);
    let input = Payload::encode(Format::Packed, &sent);
    // A buffer by itself is what this form is made for.
    let input = input.unwrap_or(Payload { format: Format::Packed, head: Vec::new().into(), buffers: vec![] });
    let mut times = Histogram::default();
    let mut busy = Duration::ZERO;
    for task in 0..tasks.saturating_add(WARM_UP) {
        let spec = TaskSpec { kind: kind.clone(), payload: input.clone(), timeout: None, check: None };
        let began = Instant::now();
        let output = check(task, client.submit(spec).await?.await?)?;
        if task >= WARM_UP {
            let took = began.elapsed();
            times.record(took);
            busy += took;
        }
        // Beside the clock: looking at all of it takes about as long as sending it.
        let came: Buffer = output.decode().map_err(|error| BenchError::Task { task, error })?;
        if came != sent {
            return Err(BenchError::Altered { task });
        }
    }
    Ok(Report::payload(tasks, busy, &times, size))
}

/// So many bytes, no eight of them like the next.
fn buffer(size: usize) -> Buffer {
    let words: Vec<u64> =
        (0..size.div_ceil(8) as u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    Buffer::from_words(words, size).unwrap_or_else(Buffer::from_scalars)
}
