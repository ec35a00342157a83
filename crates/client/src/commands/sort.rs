//! `sort`: a `.npy` file in order, or any other by line.

use super::{
    CommandError,
    planned::Planner,
    setup::Setup,
    single::{self, blocking},
};
use crate::{
    cli::Sort,
    giant::{
        plan::Task,
        sort::{Run, runs},
    },
    job::{
        kinds::sort::{self, File},
        npy::header::{Number, encode},
    },
};
use sgdt_proto::kind::sort::{KIND, Keys};

pub(super) async fn run(setup: &Setup, args: Sort) -> Result<(), CommandError> {
    let Sort { input, output, desc, split } = args;
    let read = blocking(move || sort::file(&input, &output)).await;
    let File { keys, output } = read.map_err(CommandError::Input)?;
    let (task, len, number) = match &keys {
        Keys::F64(buffer) => {
            (Task::Numbers { bytes: buffer.len() as u64 }, buffer.len(), Some(Number::Double))
        }
        Keys::I64(buffer) => {
            (Task::Numbers { bytes: buffer.len() as u64 }, buffer.len(), Some(Number::Integer))
        }
        Keys::Lines(buffer) | Keys::Text { bytes: buffer, .. } => {
            (Task::Lines { bytes: buffer.len() as u64 }, buffer.len(), None)
        }
        Keys::Random { len, .. } => (Task::Numbers { bytes: len.saturating_mul(8) }, 0, None),
    };
    let planner = Planner::new(setup, split).await?;
    let planned = planner.plan(&task).await;
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
