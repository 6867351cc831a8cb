//! What ends a run, on its way out through the trainer and the sampler.

use std::{
    error::Error,
    fmt::{self, Debug},
};

use crate::{
    concept::LearnedConcept, pipelines::PipelineError, session::SessionError, trainer::TrainError,
};

/// A run that ended by an error. `E` is the observer's error; where that is an
/// [`Error`], this is one too.
#[derive(Debug)]
pub struct RunError<E> {
    /// What went wrong.
    pub cause: Cause<E>,
    /// The last concept whose losses were finite, where the training had begun.
    pub last_good: Option<Box<LearnedConcept>>,
}

/// What ended a run.
#[derive(Debug, thiserror::Error)]
pub enum Cause<E> {
    /// The networks, the tokens or the drawing.
    #[error("{0}")]
    Session(#[source] SessionError),
    /// The training itself, or a callback that is not the observer's.
    #[error("{0}")]
    Train(#[source] TrainError),
    /// The observer's error, as it gave it.
    #[error("{0}")]
    Observer(#[source] E),
}

impl<E: From<SessionError> + From<TrainError>> Cause<E> {
    /// What went wrong as an error of the observer's type.
    pub fn into_error(self) -> E {
        match self {
            Self::Session(error) => error.into(),
            Self::Train(error) => error.into(),
            Self::Observer(error) => error,
        }
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)
    }
}

impl<E: Error + 'static> Error for RunError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

/// A cause as the trainer and the sampler carry it.
#[derive(Debug)]
struct Passed<E>(Cause<E>);

impl<E> fmt::Display for Passed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Session(error) => write!(f, "{error}"),
            Cause::Train(error) => write!(f, "{error}"),
            Cause::Observer(_) => f.write_str("the run's observer failed"),
        }
    }
}

impl<E: Debug> Error for Passed<E> {}

impl<E> RunError<E> {
    /// The observer's error.
    pub fn observer(error: E) -> Self {
        Cause::Observer(error).into()
    }

    pub(super) fn with_last_good(self, concept: Option<LearnedConcept>) -> Self {
        Self { last_good: concept.map(Box::new), ..self }
    }
}

impl<E: Debug + Send + Sync + 'static> RunError<E> {
    /// The error as one of the callback `name`, out of which [`run`](super::run) takes it again.
    pub fn through(self, name: &'static str) -> TrainError {
        TrainError::callback(name, Passed(self.cause))
    }

    /// The error as one that ends a drawing, out of which [`run`](super::run) takes it again.
    pub fn through_drawing(self) -> PipelineError {
        PipelineError::Ended(Box::new(Passed(self.cause)))
    }
}

impl<E> From<Cause<E>> for RunError<E> {
    fn from(cause: Cause<E>) -> Self {
        Self { cause, last_good: None }
    }
}

impl<E: Debug + Send + Sync + 'static> From<TrainError> for RunError<E> {
    fn from(error: TrainError) -> Self {
        let cause = match error {
            TrainError::Callback { callback, source } => match source.downcast::<Passed<E>>() {
                Ok(passed) => passed.0,
                Err(source) => Cause::Train(TrainError::Callback { callback, source }),
            },
            error => Cause::Train(error),
        };
        cause.into()
    }
}

impl<E: Debug + Send + Sync + 'static> From<PipelineError> for RunError<E> {
    fn from(error: PipelineError) -> Self {
        let cause = match error {
            PipelineError::Ended(source) => match source.downcast::<Passed<E>>() {
                Ok(passed) => passed.0,
                Err(source) => Cause::Session(PipelineError::Ended(source).into()),
            },
            error => Cause::Session(error.into()),
        };
        cause.into()
    }
}

impl<E: Debug + Send + Sync + 'static> From<SessionError> for RunError<E> {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Pipeline(error) => error.into(),
            error => Cause::Session(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_error_of_a_run_says_and_leads_to_what_ended_it() {
        let of_session = RunError::<io::Error>::from(SessionError::NoWords);
        let of_observer = RunError::observer(io::Error::other("the disk is full"));
        let as_error = |error: RunError<io::Error>| -> Box<dyn Error> { Box::new(error) };
        let (of_session, of_observer) = (as_error(of_session), as_error(of_observer));
        assert_eq!(of_session.to_string(), SessionError::NoWords.to_string());
        assert!(of_session.source().is_some_and(|source| source.is::<SessionError>()));
        assert_eq!(of_observer.to_string(), "the disk is full");
        assert!(of_observer.source().is_some_and(|source| source.is::<io::Error>()));
    }
}
