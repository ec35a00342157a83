//! `run`: the tasks of a file.

use super::{CommandError, complain, remark, setup::Setup};
use crate::{
    cli::{Run, Split},
    exit::ExitStatus,
    flow::{self, Counters, Job, OnFailure, Outcome, Splitting},
    giant::plan::{Choice, Explanation, LocalRun},
    interrupt::Interrupt,
    job::{
        kinds::ClientKinds,
        output::{create, refuse_same_file},
        reader::TaskReader,
        resume::{Done, reopen},
        text,
        writer::Order,
    },
    progress::Progress,
    summary::Summary,
};
use sgdt_proto::task::TaskError;
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::Instant};

/// What is said of `--plan local`.
const LOCAL: &str = "--plan local is for single tasks: run --local N has workers in this process";

pub(super) async fn run(
    setup: &Setup,
    args: Run,
    kinds: ClientKinds,
    interrupt: &Interrupt,
) -> Result<ExitStatus, CommandError> {
    let progress = Progress::new(setup.progress).beside_results(setup.progress, is_standard(&args.output));
    let timeout = setup.task_timeout;
    let local_run = if setup.is_local() { LocalRun::Here } else { LocalRun::Workers };
    let prepare = async {
        // Opening a pipe waits for whoever is at its other end.
        let opened = spawn_blocking(move || open(args, kinds, timeout, local_run)).await;
        let opened = opened.map_err(|error| CommandError::System(error.into()))??;
        let cluster = setup.cluster().await?;
        let client = cluster.connect().await?;
        Ok::<_, CommandError>((opened, cluster, client))
    };
    let (Opened { mut job, size, failed_before }, _cluster, client) = interrupt.unless(prepare).await?;
    // From here on the results are this job's, so that --resume does not go on with another one's.
    job.results.flush().map_err(CommandError::Output)?;

    let (counters, began) = (Arc::new(Counters::default()), Instant::now());
    let outcome = tokio::select! {
        outcome = flow::run(&client, job, &counters, interrupt.token()) => outcome,
        never = progress.follow(&counters, size, client.membership()) => match never {},
    };
    if setup.remarks() && outcome.written.is_ok() {
        let (elapsed, skipped) = (began.elapsed(), counters.skipped());
        let (tally, interrupted) = (&outcome.tally, outcome.interrupted);
        remark(&Summary { tally, skipped, failed_before, elapsed, interrupted });
    }
    if let Err(error) = &outcome.written {
        complain(error);
    } else if let Err(error) = &outcome.read {
        complain(error);
    }
    Ok(status(&outcome, failed_before, interrupt.status()))
}

/// What the outcome means, given how many tasks failed in an earlier run, and how an interrupted one ends.
fn status(outcome: &Outcome, failed_before: u64, interrupted: ExitStatus) -> ExitStatus {
    match outcome {
        Outcome { written: Err(_), .. } => ExitStatus::Failure,
        Outcome { interrupted: true, .. } => interrupted,
        Outcome { read: Err(_), .. } => ExitStatus::Usage,
        Outcome { tally, .. } if tally.failures() + failed_before > 0 => ExitStatus::Failure,
        _ => ExitStatus::Success,
    }
}

/// A job whose files are open.
struct Opened {
    job: Job,
    /// The task file's, in bytes, if it has one.
    size: Option<u64>,
    /// How many tasks failed in the run that this one goes on with.
    failed_before: u64,
}

fn open(
    args: Run,
    kinds: ClientKinds,
    task_timeout: Option<Duration>,
    local_run: LocalRun,
) -> Result<Opened, CommandError> {
    let Run { tasks, output, ordered, resume, fail_fast, split } = args;
    let Split { plan, explain, memory, verify } = split;
    if plan == Choice::Local {
        return Err(CommandError::Input(TaskError::invalid_input(LOCAL)));
    }
    let reader = TaskReader::open(&tasks, kinds)?;
    refuse_same_file(&tasks, &output).map_err(CommandError::Output)?;
    let order = if ordered { Order::AsRead } else { Order::AsFinished };
    let (results, done) = if resume {
        reopen(&output, order).map_err(CommandError::Output)?
    } else {
        (create(&output, order).map_err(CommandError::Output)?, Done::default())
    };
    let failed_before = done.failed();
    let about = fs::metadata(if is_standard(&tasks) { Path::new(text::STDIN) } else { &tasks });
    let size = about.ok().filter(fs::Metadata::is_file).map(|about| about.len());
    let on_failure = match (fail_fast, size) {
        (false, _) => OnFailure::GoOn,
        (true, Some(_)) => OnFailure::CancelAll,
        (true, None) => OnFailure::CancelRead,
    };
    let explain: Option<fn(&Explanation<'_>)> = explain.then_some(|explanation| remark(explanation));
    let splitting = Splitting { plan, memory: memory.0, explain, local_run };
    let job = Job { tasks: reader.resuming(done), results, task_timeout, verify, splitting, on_failure };
    Ok(Opened { job, size, failed_before })
}

/// Whether this is how standard input and output are written.
fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::Tally, job::output::WriteError};
    use sgdt_proto::{size::ByteSize, task::ErrorCode};
    use std::path::PathBuf;

    fn args(tasks: &Path, output: &Path, resume: bool, fail_fast: bool) -> Run {
        Run {
            tasks: tasks.to_owned(),
            output: output.to_owned(),
            ordered: false,
            resume,
            fail_fast,
            split: Split { plan: Choice::Auto, explain: false, memory: ByteSize(1 << 20), verify: false },
        }
    }

    fn open_all(args: Run) -> Result<Opened, CommandError> {
        open(args, ClientKinds::builtin(), None, LocalRun::Workers)
    }

    #[test]
    fn the_worst_that_happened_decides_the_status() {
        let outcome = |failed, readable, written: Result<(), WriteError>, interrupted| {
            let mut tally = Tally::default();
            tally.failed.insert(ErrorCode::Timeout, failed);
            let unreadable = || TaskReader::open(Path::new("/nowhere"), ClientKinds::none()).map(drop);
            Outcome { tally, read: if readable { Ok(()) } else { unreadable() }, written, interrupted }
        };
        let unwritten = || create(Path::new("/nowhere/results"), Order::AsRead).map(drop);
        let status = |outcome, before| status(&outcome, before, ExitStatus::Interrupted);
        assert_eq!(status(outcome(0, true, Ok(()), false), 0), ExitStatus::Success);
        assert_eq!(status(outcome(1, true, Ok(()), false), 0), ExitStatus::Failure);
        assert_eq!(status(outcome(0, true, Ok(()), false), 1), ExitStatus::Failure);
        assert_eq!(status(outcome(1, false, Ok(()), false), 0), ExitStatus::Usage);
        assert_eq!(status(outcome(1, false, Ok(()), true), 0), ExitStatus::Interrupted);
        assert_eq!(status(outcome(0, true, unwritten(), true), 0), ExitStatus::Failure);
    }

    #[test]
    fn files_that_cannot_be_used_are_bad_usage() {
        let home = tempfile::tempdir().unwrap();
        let (tasks, output) = (home.path().join("tasks.jsonl"), home.path().join("results.jsonl"));
        fs::write(&tasks, "{\"task\":\"echo\",\"value\":1}\n").unwrap();
        for (args, named) in [
            (args(&home.path().join("missing"), &output, false, false), "missing"),
            (args(home.path(), &output, false, false), "a directory"),
            (args(&tasks, &tasks, false, false), "it is the task file"),
            (args(&tasks, &PathBuf::from("/nowhere/results"), false, false), "/nowhere/results"),
            (args(&tasks, Path::new("-"), true, false), "--resume"),
        ] {
            let error = open_all(args).err().unwrap();
            assert_eq!(error.status(), ExitStatus::Usage, "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
        assert!(!output.exists(), "nothing is begun before all is known to be well");
    }

    #[test]
    fn a_run_that_goes_on_knows_what_failed_before() {
        let home = tempfile::tempdir().unwrap();
        let (tasks, output) = (home.path().join("tasks.jsonl"), home.path().join("results.jsonl"));
        fs::write(&tasks, "{\"id\":\"a\",\"task\":\"echo\"}\n").unwrap();
        fs::write(&output, "{\"id\":\"a\",\"status\":\"error\"}\n{\"id\":\"to").unwrap();
        let opened = open_all(args(&tasks, &output, true, true)).unwrap();
        assert_eq!((opened.failed_before, opened.size), (1, Some(25)));
        assert_eq!(opened.job.on_failure, OnFailure::CancelAll);
        assert_eq!(opened.job.tasks.count(), 0);
    }
}
