//! `join`: a machine that has a token gets its certificate.

use super::{CommandError, remark, setup::Setup};
use crate::cli::Join;

pub(super) async fn run(setup: &Setup, Join { token, name }: Join) -> Result<(), CommandError> {
    let directory = setup.join(&token, name.as_ref()).await?;
    remark(&format_args!("{} is ready for --tls", directory.display()));
    Ok(())
}
