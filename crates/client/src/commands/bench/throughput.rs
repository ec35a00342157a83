//! Many tiny tasks, through [`Client::map`], each result tracked by itself.

use super::{BenchError, check, report::Report, tiny};
use crate::{client::Client, dispatch::TaskSpec};
use bytes::Bytes;
use futures::{StreamExt, stream};
use sgdt_proto::id::Kind;
use std::io::Write;
use tokio::time::Instant;

/// So many tasks share the memory of their inputs, so that making them is not what is measured.
const BLOCK: u64 = 256;

pub(super) async fn measure(client: &Client, kind: &Kind, tasks: u64) -> Result<Report, BenchError> {
    let mut waited = Waited::new(tasks);
    let began = Instant::now();
    let mut results = client.map(stream::iter(specs(kind.clone(), tasks)));
    while let Some((task, result)) = results.next().await {
        let output = check(task, result)?;
        if number(&output.head) != Some(task) || !waited.take(task) {
            return Err(BenchError::Altered { task });
        }
    }
    match waited.count {
        0 => Ok(Report::throughput(tasks, began.elapsed())),
        missing => Err(BenchError::Missing { missing, tasks }),
    }
}

fn specs(kind: Kind, tasks: u64) -> impl Iterator<Item = TaskSpec> {
    let blocks = (0..tasks).step_by(BLOCK as usize);
    let inputs = blocks.flat_map(move |first| inputs(first, tasks.min(first.saturating_add(BLOCK))));
    inputs.map(move |input| tiny(&kind, input))
}

/// The inputs of the tasks from `first` on, and before `end`.
fn inputs(first: u64, end: u64) -> impl Iterator<Item = Bytes> {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for task in first..end {
        // Writing to memory does not fail.
        let _ = write!(text, "{{\"value\":{task}}}");
        ends.push(text.len());
    }
    let (text, mut start) = (Bytes::from(text), 0);
    ends.into_iter().map(move |end| text.slice(std::mem::replace(&mut start, end)..end))
}

/// The number in an input that has come back.
fn number(output: &[u8]) -> Option<u64> {
    let digits = output.strip_prefix(b"{\"value\":")?.strip_suffix(b"}")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Which tasks have no result yet.
struct Waited {
    bits: Vec<u64>,
    count: u64,
}

impl Waited {
    fn new(tasks: u64) -> Self {
        Self { bits: vec![u64::MAX; tasks.div_ceil(64) as usize], count: tasks }
    }

    /// Strikes a task off. Whether it was waited for.
    fn take(&mut self, task: u64) -> bool {
        let bit = 1 << (task % 64);
        let word = self.bits.get_mut((task / 64) as usize).filter(|word| **word & bit != 0);
        if let Some(word) = word {
            *word &= !bit;
            self.count -= 1;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_waited_for_once() {
        let mut waited = Waited::new(65);
        assert!(waited.take(64) && !waited.take(64) && waited.take(0) && !waited.take(1000));
        assert_eq!(waited.count, 63);
    }

    #[test]
    fn inputs_are_json_and_no_two_are_equal() {
        let inputs: Vec<_> = specs("echo".parse().unwrap(), 10_000).map(|spec| spec.payload.head).collect();
        assert_eq!((&inputs[0][..], &inputs[9_999][..]), (&b"{\"value\":0}"[..], &b"{\"value\":9999}"[..]));
        assert!(inputs.iter().zip(0..).all(|(input, task)| number(input) == Some(task)));
        assert_eq!(number(b"{\"value\":}"), None);
        assert_eq!(inputs.iter().collect::<std::collections::BTreeSet<_>>().len(), 10_000);
    }
}
