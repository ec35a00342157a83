//! Threads that work on one thing.

use crate::local::Cancel;
use sgdt_proto::task::{ErrorCode, TaskError};
use std::{panic::resume_unwind, thread};

/// Has each part done by a thread of its own, while this one does something else. When one fails the others are told
/// to stop.
///
/// # Errors
/// What failed first.
pub(super) fn each<P: Send, T: Send>(
    parts: Vec<P>,
    cancel: &Cancel,
    work: impl Fn(P) -> Result<T, TaskError> + Sync,
    meanwhile: impl FnOnce() -> Result<(), TaskError>,
) -> Result<Vec<T>, TaskError> {
    let work = |part| work(part).inspect_err(|_| cancel.cancel());
    thread::scope(|scope| {
        let start = |part| {
            let started =
                thread::Builder::new().name("sgdt-sort".to_owned()).spawn_scoped(scope, || work(part));
            started.map_err(|error| {
                cancel.cancel();
                TaskError::new(ErrorCode::GaveUp, format!("cannot start a thread: {error}"))
            })
        };
        let threads: Vec<_> = parts.into_iter().map(start).collect();
        let here = meanwhile().inspect_err(|_| cancel.cancel());
        let done = threads.into_iter().map(|thread| match thread?.join() {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        });
        let (done, errors): (Vec<_>, Vec<_>) = done.partition(Result::is_ok);
        let errors: Vec<_> = errors.into_iter().filter_map(Result::err).chain(here.err()).collect();
        // Those that were told to stop say so, and not why.
        match errors.iter().find(|error| error.code != ErrorCode::Cancelled).or(errors.first()) {
            Some(error) => Err(error.clone()),
            None => Ok(done.into_iter().flatten().collect()),
        }
    })
}
