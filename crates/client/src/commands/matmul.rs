//! `matmul`: the product of two `.npy` files.

use super::{
    CommandError,
    planned::Planner,
    setup::Setup,
    single::{self, blocking},
};
use crate::{
    cli::Matmul,
    giant::{
        matmul::{Tile, tiles},
        plan::Task,
    },
    job::{
        kinds::matmul::{self, Files},
        npy::header::{Number, encode},
    },
};
use sgdt_proto::{kind::matmul::KIND, task::TaskError};

pub(super) async fn run(setup: &Setup, args: Matmul) -> Result<(), CommandError> {
    let Matmul { a, b, output, split } = args;
    let read = blocking(move || matmul::files(&a, &b, &output)).await;
    let Files { a, b, output } = read.map_err(CommandError::Input)?;
    let planner = Planner::new(setup, split).await?;
    let planned = planner.plan(&Task::Matmul { shape: [a.rows, a.columns, b.columns] }, None).await;
    if planned.pieces == 1 {
        let request = Files { a, b, output }.request().map_err(CommandError::Input)?;
        return single::whole(setup, &planned, KIND, request).await;
    }

    let header = encode(Number::Double, &[a.rows, b.columns]);
    let (begin, columns) = (header.len(), b.columns as usize);
    let bytes = a.rows.checked_mul(b.columns).and_then(|count| usize::try_from(count).ok()?.checked_mul(8));
    let bytes = bytes.and_then(|bytes| bytes.checked_add(begin));
    let bytes = bytes.ok_or_else(|| CommandError::Task(TaskError::too_large("the product has no end")))?;
    let file = blocking(move || {
        let mut file = output.begin(bytes)?;
        file.write_at(0, &header)?;
        Ok(file)
    });
    let mut file = Some(file.await.map_err(CommandError::Task)?);
    let put = async |tile: Tile| {
        if let Some(mut begun) = file.take() {
            let write = move || {
                for (place, row) in tile.placed(columns) {
                    begun.write_at(begin + place * size_of::<f64>(), bytemuck::cast_slice(row))?;
                }
                Ok(begun)
            };
            file = Some(blocking(write).await?);
        }
        Ok(())
    };
    tiles(&planned.hands, &a, &b, planned.pieces, planned.limits, put).await?;
    if let Some(file) = file {
        blocking(move || file.finish()).await.map_err(CommandError::Task)?;
    }
    planned.done();
    Ok(())
}
