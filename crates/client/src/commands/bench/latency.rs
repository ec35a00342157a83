//! Tiny tasks, the next one sent when the last one's result is there.

use super::{
    BenchError, check,
    report::{Histogram, Report},
    tiny,
};
use crate::client::Client;
use bytes::Bytes;
use sgdt_proto::id::Kind;
use tokio::time::Instant;

/// How many are not counted: connections, caches and clocks are cold at first.
const WARM_UP: u64 = 100;

pub(super) async fn measure(client: &Client, kind: &Kind, tasks: u64) -> Result<Report, BenchError> {
    let input = Bytes::from_static(b"{\"value\":42}");
    let mut times = Histogram::default();
    let mut began = Instant::now();
    for task in 0..tasks.saturating_add(WARM_UP) {
        let sent = Instant::now();
        if task == WARM_UP {
            began = sent;
        }
        let output = check(task, client.submit(tiny(kind, input.clone())).await?.await?)?;
        if output.head != input {
            return Err(BenchError::Altered { task });
        }
        if task >= WARM_UP {
            times.record(sent.elapsed());
        }
    }
    Ok(Report::latency(tasks, began.elapsed(), &times))
}
