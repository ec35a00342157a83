//! `sort`: a `.npy` file in order, or any other by line.

use super::{
    CommandError,
    planned::Planner,
    remark,
    setup::Setup,
    single::{self, blocking},
};
use crate::{
    cli::Sort,
    giant::{
        Hands, Limits,
        external::{self, Budget, Input, Way},
        plan::{Choice, Power, Spilled, Task},
        rates,
        sort::{Run, runs},
    },
    job::{
        kinds::sort::{self, File},
        npy::header::encode,
        replace::Destination,
        stream::Stream,
        text,
    },
    local::LocalKernels,
    summary::Seconds,
};
use sgdt_proto::kind::sort::{KIND, Keys};
use std::{
    env,
    path::{Path, PathBuf},
};
use tokio::time::Instant;

pub(super) async fn run(setup: &Setup, mut args: Sort) -> Result<(), CommandError> {
    if args.input == Path::new("-") {
        args.input = text::STDIN.into();
    }
    if matches!(args.split.plan, Choice::Auto | Choice::Local) {
        let (path, memory) = (args.input.clone(), args.split.memory.0);
        let opened = blocking(move || {
            let input = Input::open(&path)?;
            Ok((input.is_empty(), if input.fits(memory)? { None } else { Some(input) }))
        });
        let (empty, too_large) = opened.await.map_err(CommandError::Input)?;
        if let Some(input) = too_large {
            return spilled(setup, args, input).await;
        }
        if empty {
            // Nothing is no task for anybody else.
            args.split.plan = Choice::Local;
        }
    }
    let Sort { input, output, desc, split } = args;
    let read = blocking(move || sort::file(&input, &output)).await;
    let File { keys, output } = read.map_err(CommandError::Input)?;
    let (task, len, number) = match &keys {
        Keys::Numbers { number, buffer } => {
            (Task::Numbers { bytes: buffer.len() as u64 }, buffer.len(), Some(*number))
        }
        Keys::Lines(buffer) | Keys::Text { bytes: buffer, .. } => {
            (Task::Lines { bytes: buffer.len() as u64 }, buffer.len(), None)
        }
        Keys::Random { len, .. } => (Task::Numbers { bytes: len.saturating_mul(8) }, 0, None),
    };
    let planner = Planner::new(setup, split).await?;
    let planned = planner.plan(&task, None).await;
    if planned.pieces == 1 {
        let request = File { keys, output }.request(desc).map_err(CommandError::Input)?;
        return single::whole(setup, &planned, KIND, request).await;
    }

    let header = number.map(|number| encode(number, &[len as u64 / 8])).unwrap_or_default();
    let begin = header.len();
    let file = blocking(move || {
        let mut file = output.begin(begin + len)?;
        file.write_at(0, &header)?;
        Ok(file)
    });
    let mut file = Some(file.await.map_err(CommandError::Task)?);
    let put = async |Run { offset, bytes }: Run| {
        if let Some(mut begun) = file.take() {
            let write = move || {
                begun.write_at(begin + offset, bytes.as_bytes())?;
                Ok(begun)
            };
            file = Some(blocking(write).await?);
        }
        Ok(())
    };
    runs(&planned.hands, keys, desc, planned.pieces, planned.limits, put).await?;
    if let Some(file) = file {
        blocking(move || file.finish()).await.map_err(CommandError::Task)?;
    }
    planned.done();
    Ok(())
}

/// Sorts a file that does not fit, through a temporary one.
async fn spilled(setup: &Setup, args: Sort, input: Input) -> Result<(), CommandError> {
    let Sort { output, desc: descending, split, .. } = args;
    let begun = Instant::now();
    let kernels = LocalKernels::new();
    let budget = Budget::new(split.memory.0, kernels.threads());
    if split.explain {
        explain(&kernels, budget, input.task()).await;
    }
    let scratch = external::scratch(env::var_os("TMPDIR").map(PathBuf::from), &output);
    let way = Way { descending, budget, scratch, verify: split.verify };
    let output = Destination::new(&output).and_then(|output| input.checked(output));
    let output = output.map_err(CommandError::Input)?;
    let timeout = setup.task_timeout;
    let mut sorting = kernels.start(move |cancel| {
        // Begun first: that it cannot be written is better said now.
        let output = Stream::begin(output)?;
        input.sort(way, output, &cancel.alone().started(timeout))
    });
    sorting.done().await.and_then(|done| done).map_err(CommandError::Task)?;
    if setup.remarks() {
        remark(&format_args!("done here, through a temporary file, in {}", Seconds(begun.elapsed())));
    }
    Ok(())
}

/// Says what is planned for a file that does not fit.
async fn explain(kernels: &LocalKernels, budget: Budget, task: Option<Task>) {
    let hands = Hands::Local(kernels.clone());
    let (task, memory) = (task.as_ref(), budget.memory());
    let measured = match task {
        Some(task) => rates::measure(task, &hands, None, Limits::default()).await,
        // Any would do: only the threads are told.
        None => rates::usual(&Task::Lines { bytes: 0 }, &hands, None),
    };
    let here = Power { slots: measured.here.slots.min(budget.threads()), ..measured.here };
    remark(&Spilled { task, here, memory });
}
