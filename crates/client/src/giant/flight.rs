//! Pieces under way: no more at a time than a number of bytes allows.

use super::{GiantError, Hands, Limits};
use crate::{
    dispatch::TaskSpec,
    verify::{self, Check, Checkable},
};
use serde::{Serialize, de::DeserializeOwned};
use sgdt_proto::{
    id::{InvalidName, Kind},
    payload::Payload,
    task::{ErrorCode, TaskError},
};
use tokio::task::JoinSet;

/// Pieces under way, each with a tag that says what its result is for. Dropping it cancels them.
pub(super) struct Flight<T> {
    hands: Hands,
    limits: Limits,
    bytes: u64,
    pieces: JoinSet<Landed<T>>,
}

type Landed<T> = (T, u64, Result<Payload, GiantError>);

impl<T: Send + 'static> Flight<T> {
    pub(super) fn new(hands: &Hands, limits: Limits) -> Self {
        Self { hands: hands.clone(), limits, bytes: 0, pieces: JoinSet::new() }
    }

    /// Whether a piece of so many bytes, input and output, may be launched now.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.pieces.is_empty() || self.bytes.saturating_add(bytes) <= self.limits.memory
    }

    /// Sends a piece off.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub(super) fn launch(
        &mut self,
        tag: T,
        kind: &str,
        input: &(impl Serialize + Checkable),
        bytes: u64,
    ) -> Result<(), TaskError> {
        let invalid = |error: &dyn std::fmt::Display| TaskError::invalid_input(error.to_string());
        let kind: Kind = kind.parse().map_err(|error: InvalidName| invalid(&error))?;
        let spec = TaskSpec::packed(kind, input).map_err(|error| invalid(&error))?;
        let check = if self.limits.verify { check_of(input, &spec.payload)? } else { None };
        let (hands, spec) = (self.hands.clone(), TaskSpec { timeout: self.limits.timeout, check, ..spec });
        self.bytes = self.bytes.saturating_add(bytes);
        self.pieces.spawn(async move {
            let result = hands.run(spec).await.and_then(|result| Ok(result.output?));
            (tag, bytes, result)
        });
        Ok(())
    }

    /// The next result; `None` when nothing is under way.
    ///
    /// # Errors
    /// That of a piece: the whole task is then to be given up.
    pub(super) async fn land<O: DeserializeOwned>(&mut self) -> Result<Option<(T, O)>, GiantError> {
        let Some(landed) = self.pieces.join_next().await else { return Ok(None) };
        let (tag, bytes, result) =
            landed.map_err(|error| TaskError::new(ErrorCode::Panicked, error.to_string()))?;
        self.bytes = self.bytes.saturating_sub(bytes);
        let output = result?.decode().map_err(|error| crate::job::answer::broken(&error.message))?;
        Ok(Some((tag, output)))
    }
}

/// The check of an input that has been encoded: its numbers are shared with the payload.
fn check_of<I: Checkable>(_: &I, payload: &Payload) -> Result<Option<Check>, TaskError> {
    verify::of::<I>(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalKernels;
    use sgdt_proto::kind::factorial::{Input, KIND, Output};

    #[tokio::test]
    async fn no_more_bytes_are_under_way_than_may_be_but_one_piece_always_may() {
        let limits = Limits { memory: 100, ..Limits::default() };
        let mut flight = Flight::new(&Hands::Local(LocalKernels::new()), limits);
        let input = Input { n: 5, summary: true };
        assert!(flight.has_room(1000));
        flight.launch('a', KIND, &input, 60).unwrap();
        assert!(flight.has_room(40) && !flight.has_room(41));
        let landed = flight.land::<Output>().await.unwrap();
        assert_eq!(landed, Some(('a', Output { digits: 3, decimal: None })));
        assert!(flight.has_room(1000) && flight.land::<Output>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_piece_that_fails_or_answers_nonsense_is_an_error() {
        let mut flight = Flight::new(&Hands::Local(LocalKernels::new()), Limits::default());
        flight.launch((), KIND, &Input { n: u64::MAX, summary: false }, 0).unwrap();
        let error = flight.land::<Output>().await.unwrap_err();
        assert!(error.to_string().starts_with("too-large"), "{error}");
        flight.launch((), KIND, &Input { n: 1, summary: true }, 0).unwrap();
        let error = flight.land::<(Output, String)>().await.unwrap_err();
        assert!(error.to_string().contains("no output of this kind"), "{error}");
    }
}
