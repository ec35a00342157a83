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
        npy::header::encode,
    },
};
use sgdt_proto::{
    kind::matmul::{KIND, Matrix},
    task::TaskError,
};

pub(super) async fn run(setup: &Setup, args: Matmul) -> Result<(), CommandError> {
    let Matmul { a, b, output, split } = args;
    let read = blocking(move || matmul::files(&a, &b, &output)).await;
    let Files { a, b, output } = read.map_err(CommandError::Input)?;
    let planner = Planner::new(setup, split).await?;
    let (shape, element) = ([a.rows, a.columns, b.columns], a.element);
    let planned = planner.plan(&Task::Matmul { shape, element }, None).await;
    if planned.pieces == 1 {
        let request = Files { a, b, output }.request().map_err(CommandError::Input)?;
        return single::whole(setup, &planned, KIND, request).await;
    }

    let header = encode(element, &[a.rows, b.columns]);
    let (begin, columns) = (header.len(), b.columns as usize);
    let bytes = Matrix::bytes(element, a.rows, b.columns);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()?.checked_add(begin));
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
                    begun.write_at(begin + place, row)?;
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
