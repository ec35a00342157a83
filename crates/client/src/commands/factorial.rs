//! `factorial`: factorials, one number a line, in the order in which they were asked for.

mod out;

use super::{
    CommandError, complain,
    planned::{Planned, Planner},
    setup::Setup,
    single::{blocking, parse},
};
use crate::{
    cli::{Factorial, NumberFormat},
    dispatch::{TaskResult, TaskSpec},
    exit::ExitStatus,
    giant::{GiantError, factorial as giant, plan::Task},
    interrupt::Interrupt,
    job::replace::Destination,
    local::Form,
    verify::Checkable,
};
use futures::{
    FutureExt, StreamExt,
    stream::{self, LocalBoxStream},
};
use out::{Answer, Out};
use sgdt_proto::{
    id::WorkerName,
    kind::factorial::{Input, KIND, Output},
    payload::Payload,
    task::{ErrorCode, TaskError},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Computes and writes. What is done when the program is told to end is written, too.
pub(super) async fn run(
    setup: &Setup,
    args: Factorial,
    interrupt: &Interrupt,
) -> Result<ExitStatus, CommandError> {
    let Factorial { n: numbers, output, format, split } = args;
    if format == NumberFormat::Raw && numbers.len() > 1 {
        let message = format!("--format raw writes one number, and there are {}", numbers.len());
        return Err(CommandError::Input(TaskError::invalid_input(message)));
    }
    if format == NumberFormat::Raw {
        let to = Destination::new(output.as_deref().unwrap_or(Path::new("-")));
        to.and_then(Destination::takes_bytes).map_err(CommandError::Input)?;
    }
    let output = output.filter(|path| path != Path::new("-"));
    let path = output.clone();
    let output = output.map(|path| Destination::new(&path)).transpose().map_err(CommandError::Input)?;
    let spec = |&n: &u64| {
        let input = Input { n, summary: format == NumberFormat::Digits };
        let spec = TaskSpec::packed(parse(KIND)?, &input);
        let spec = spec.map_err(|error| CommandError::Input(TaskError::invalid_input(error.to_string())))?;
        let check = if split.verify { input.check() } else { None };
        Ok(TaskSpec { timeout: setup.task_timeout, check, ..spec })
    };
    let specs: Vec<TaskSpec> = numbers.iter().map(spec).collect::<Result<_, CommandError>>()?;
    let planner = interrupt.unless(Planner::new(setup, split)).await?;
    let plan = async |(n, spec): (u64, TaskSpec)| {
        let planned = match format {
            NumberFormat::Digits => planner.little(),
            _ => {
                let name = (numbers.len() > 1).then(|| format!("the factorial of {n}"));
                let decimal = format == NumberFormat::Decimal;
                planner.plan(&Task::Factorial { n, decimal }, name.as_deref()).await
            }
        };
        Asked { n, spec, format, planned }
    };
    // One after the other: they would disturb each other's measurements.
    let planning = stream::iter(numbers.iter().copied().zip(specs)).then(plan).collect();
    let asked: Vec<Asked> = interrupt.unless(planning.map(Ok::<_, CommandError>)).await?;
    let mut results = answers(&planner, asked);
    // Those that wait for an earlier one; there are no more than were typed.
    let mut early = BTreeMap::new();
    let mut next = 0;
    let out = blocking(move || Out::begin(output)).await.map_err(CommandError::Task)?;
    let mut told = Told { planner: &planner, interrupt, out, count: 0, status: ExitStatus::Success };
    while let Some(Some(result)) = interrupt.token().run_until_cancelled(results.next()).await {
        let (index, result) = result?;
        early.insert(index, result);
        while let Some(ready) = early.remove(&next) {
            told = told.tell(numbers[next as usize], ready).await?;
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
            told = told.tell(numbers[index as usize], ready).await?;
        }
    }
    let Told { out, count, status, .. } = told;
    let is_something = |path: &PathBuf| path.metadata().is_ok_and(|about| about.is_file() && about.len() > 0);
    let old = path.filter(|path| out.replaces() && is_something(path));
    // A part of what was asked for is better than nothing, and worse than what was there; but whoever ends the program
    // wants what is done.
    let is_enough = count > 0 && (old.is_none() || interrupt.token().is_cancelled());
    if status == ExitStatus::Success || is_enough {
        blocking(move || out.finish()).await.map_err(CommandError::Task)?;
        if let Some(old) = old.filter(|_| count < numbers.len()) {
            let (old, all) = (old.display(), numbers.len());
            complain(&format_args!("{old} has {count} of {all} factorials, in place of what was there"));
        }
    } else if let Some(old) = old {
        complain(&format_args!("{} is as it was: not all that was to replace it is there", old.display()));
    }
    Ok(status)
}

/// A number whose factorial is wanted.
struct Asked {
    n: u64,
    /// The whole as one task.
    spec: TaskSpec,
    format: NumberFormat,
    planned: Planned,
}

impl Asked {
    /// Whether a worker's answer to the whole task is what is written.
    fn is_ordinary(&self) -> bool {
        match self.format {
            NumberFormat::Digits => true,
            NumberFormat::Decimal => self.planned.is_ordinary(),
            NumberFormat::Hex | NumberFormat::Raw => false,
        }
    }

    /// What is written, computed as it is planned.
    async fn answer(self) -> Result<Ready, CommandError> {
        let is_ordinary = self.is_ordinary();
        let Self { n, spec, format, planned } = self;
        let planned = planned.begun();
        let Planned { hands, pieces, limits, .. } = &planned;
        let binary = async |form: Form| {
            let number = giant::binary(hands, n, *pieces, *limits).await?;
            Ok(Ok(Answer::Number(number, form)))
        };
        let computed = match format {
            _ if is_ordinary => hands.run(spec).await.map(|result| text(format, result.output)),
            NumberFormat::Hex => binary(Form::Hex).await,
            NumberFormat::Raw => binary(Form::Raw).await,
            NumberFormat::Decimal | NumberFormat::Digits => {
                let number = giant::decimal(hands, n, *pieces, *limits).await;
                number.map(|(number, form)| Ok(Answer::Number(number, form)))
            }
        };
        match computed {
            Ok(answer) => Ok(Ready { answer, remark: Some(Remark::Since(planned)) }),
            Err(GiantError::Task(error)) => Ok(Ready { answer: Err(error), remark: None }),
            Err(GiantError::Disconnected(error)) => Err(error.into()),
        }
    }
}

/// What can be written.
struct Ready {
    answer: Result<Answer, TaskError>,
    /// What is said when it is.
    remark: Option<Remark>,
}

/// What was done.
enum Remark {
    /// As it was planned, in the time since it began.
    Since(Planned),
    /// The same, as a whole, by a worker.
    By(Planned, Option<WorkerName>),
}

impl Remark {
    fn say(&self) {
        match self {
            Self::Since(planned) => planned.done(),
            Self::By(planned, worker) => planned.done_by(worker.as_ref()),
        }
    }
}

/// The answers, with their indices, as they come.
type Answers<'a> = LocalBoxStream<'a, Result<(u64, Ready), CommandError>>;

fn answers(planner: &Planner, asked: Vec<Asked>) -> Answers<'_> {
    let client = planner.client().filter(|_| asked.iter().all(Asked::is_ordinary));
    let Some(client) = client else {
        // Those that are split use all the workers, and go one after the other.
        let one = async |(index, asked): (u64, Asked)| Ok((index, asked.answer().await?));
        return stream::iter((0..).zip(asked)).then(one).boxed_local();
    };
    let format = asked.first().map_or(NumberFormat::Decimal, |asked| asked.format);
    let (specs, mut planned): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|asked| (asked.spec, asked.planned)).unzip();
    // Many are computed at the same time, and each would say something.
    let mut only = if planned.len() == 1 { planned.pop() } else { None };
    let results = client.map(stream::iter(specs)).map(move |(index, TaskResult { worker, output, .. })| {
        let remark = only.take().map(|planned| Remark::By(planned, worker));
        Ok((index, Ready { answer: text(format, output), remark }))
    });
    results.boxed_local()
}

/// What a worker's answer to the whole task says.
fn text(format: NumberFormat, output: Result<Payload, TaskError>) -> Result<Answer, TaskError> {
    let output: Output = output?.decode()?;
    if format == NumberFormat::Digits {
        return Ok(Answer::Text(output.digits.to_string().into_bytes().into()));
    }
    let missing = || TaskError::new(ErrorCode::Panicked, "the worker's answer has no digits");
    Ok(Answer::Text(output.decimal.ok_or_else(missing)?))
}

/// What has been written, or is to be.
struct Told<'a> {
    planner: &'a Planner,
    interrupt: &'a Interrupt,
    out: Out,
    /// How many have been.
    count: usize,
    status: ExitStatus,
}

impl Told<'_> {
    async fn tell(mut self, n: u64, Ready { answer, remark }: Ready) -> Result<Self, CommandError> {
        let told = match answer {
            Ok(answer) => {
                let (out, told) = self.out.tell(answer, self.planner.kernels(), self.interrupt).await?;
                self.out = out;
                told
            }
            Err(error) => Err(error),
        };
        if let (Ok(()), Some(remark)) = (&told, remark) {
            remark.say();
        }
        self.count += usize::from(told.is_ok());
        if let Err(error) = told {
            if self.status == ExitStatus::Success {
                self.status = ExitStatus::Failure;
            }
            complain(&format_args!("the factorial of {n}: {}", super::told(&error)));
        }
        Ok(self)
    }
}
