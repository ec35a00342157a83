//! `factorial`: the digits of factorials, one number a line, in the order in which they were asked for.

use super::{
    CommandError, complain,
    planned::{Planned, Planner},
    print,
    setup::Setup,
    single::{blocking, parse},
};
use crate::{
    cli::Factorial,
    dispatch::TaskSpec,
    exit::ExitStatus,
    giant::{GiantError, factorial as giant, plan::Task},
    interrupt::{Interrupt, Interrupted},
    job::replace::Destination,
    verify::Checkable,
};
use futures::{
    FutureExt, StreamExt,
    stream::{self, LocalBoxStream},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::factorial::{Input, KIND, Output},
    payload::Payload,
    task::{ErrorCode, TaskError},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::spawn_blocking, time::sleep};

/// How long a line may take to be written once the program was told to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Computes and writes. What is done when the program is told to end is written, too.
pub(super) async fn run(
    setup: &Setup,
    args: Factorial,
    interrupt: &Interrupt,
) -> Result<ExitStatus, CommandError> {
    let Factorial { n: numbers, output, split } = args;
    let output = output.map(|path| Destination::new(&path)).transpose().map_err(CommandError::Input)?;
    let spec = |&n: &u64| {
        let spec = TaskSpec::packed(parse(KIND)?, &Input { n, summary: false });
        let spec = spec.map_err(|error| CommandError::Input(TaskError::invalid_input(error.to_string())))?;
        let check = if split.verify { Input { n, summary: false }.check() } else { None };
        Ok(TaskSpec { timeout: setup.task_timeout, check, ..spec })
    };
    let specs: Vec<TaskSpec> = numbers.iter().map(spec).collect::<Result<_, CommandError>>()?;
    let planner = interrupt.unless(Planner::new(setup, split)).await?;
    let plan = async |(n, spec): (u64, TaskSpec)| (n, spec, planner.plan(&Task::Factorial { n }).await);
    // One after the other: they would disturb each other's measurements.
    let planning = stream::iter(numbers.iter().copied().zip(specs)).then(plan).collect();
    let planned: Vec<_> = interrupt.unless(planning.map(Ok::<_, CommandError>)).await?;
    let mut results = texts(&planner, planned);
    // Those that wait for an earlier one; there are no more than were typed.
    let mut early = BTreeMap::new();
    let (mut next, mut told) =
        (0, Told { lines: output.is_some().then(Vec::new), status: ExitStatus::Success });
    while let Some(Some(result)) = interrupt.token().run_until_cancelled(results.next()).await {
        let (index, result) = result?;
        early.insert(index, result);
        while let Some(ready) = early.remove(&next) {
            told.tell(numbers[next as usize], ready, interrupt).await?;
            next += 1;
        }
    }
    if interrupt.token().is_cancelled() {
        while let Some(Some(result)) = results.next().now_or_never() {
            let (index, result) = result?;
            early.insert(index, result);
        }
        told.status = interrupt.status();
        // They had to wait for one that does not come any more.
        for (index, ready) in early {
            told.tell(numbers[index as usize], ready, interrupt).await?;
        }
    }
    if let (Some(output), Some(lines)) = (output, told.lines) {
        let write = move || {
            let parts: Vec<&[u8]> = lines.iter().flat_map(|digits| [digits.as_bytes(), b"\n"]).collect();
            output.write(&parts)
        };
        blocking(write).await.map_err(CommandError::Task)?;
    }
    Ok(told.status)
}

/// What has been written, or is to be.
struct Told {
    /// For a file, which is written as a whole.
    lines: Option<Vec<Buffer>>,
    status: ExitStatus,
}

impl Told {
    async fn tell(
        &mut self,
        n: u64,
        text: Result<Buffer, TaskError>,
        interrupt: &Interrupt,
    ) -> Result<(), CommandError> {
        match (text, &mut self.lines) {
            (Ok(digits), Some(lines)) => lines.push(digits),
            (Ok(digits), None) => {
                // On a thread of its own: whoever reads it may stop, and the workers must go on being answered.
                let printing = spawn_blocking(move || print([digits.as_bytes(), b"\n"].concat()));
                let late = async {
                    interrupt.token().cancelled().await;
                    sleep(PATIENCE).await;
                };
                tokio::select! {
                    biased;
                    printed = printing => printed.map_err(|error| CommandError::System(error.into()))??,
                    () = late => return Err(Interrupted(interrupt.status()).into()),
                }
            }
            (Err(error), _) => {
                if self.status == ExitStatus::Success {
                    self.status = ExitStatus::Failure;
                }
                complain(&format_args!("the factorial of {n}: {error}"));
            }
        }
        Ok(())
    }
}

/// The digits of each, with its index, as they come.
type Texts<'a> = LocalBoxStream<'a, Result<(u64, Result<Buffer, TaskError>), CommandError>>;

fn texts(planner: &Planner, planned: Vec<(u64, TaskSpec, Planned)>) -> Texts<'_> {
    let client = planner.client().filter(|_| planned.iter().all(|(.., planned)| planned.is_ordinary()));
    let Some(client) = client else {
        // Those that are split use all the workers, and go one after the other.
        let one = async |(index, (n, spec, planned))| {
            let planned: Planned = planned;
            Ok((index, computed(&planned, n, spec).await?))
        };
        return stream::iter((0..).zip(planned)).then(one).boxed_local();
    };
    let results = client.map(stream::iter(planned.into_iter().map(|(_, spec, _)| spec)));
    let text = |output: Result<Payload, TaskError>| digits(output?.decode()?);
    results.map(move |(index, result)| Ok((index, text(result.output)))).boxed_local()
}

/// The digits of n!, as it is planned; `spec` is the whole task.
async fn computed(
    planned: &Planned,
    n: u64,
    spec: TaskSpec,
) -> Result<Result<Buffer, TaskError>, CommandError> {
    let computed = if planned.pieces == 1 {
        planned.hands.run(spec).await.map(|result| digits(result.output?.decode()?))
    } else {
        giant::digits(&planned.hands, n, planned.pieces, planned.limits).await.map(Ok)
    };
    match computed {
        Ok(computed) => {
            planned.done();
            Ok(computed)
        }
        Err(GiantError::Task(error)) => Ok(Err(error)),
        Err(GiantError::Disconnected(error)) => Err(error.into()),
    }
}

fn digits(output: Output) -> Result<Buffer, TaskError> {
    output.decimal.ok_or_else(|| TaskError::new(ErrorCode::Panicked, "the worker's answer has no digits"))
}
