//! The run's state and embedding, on disk.

use std::path::PathBuf;

use crate::{
    early_stopping::StopReason,
    embedding::{self, LearnedEmbedding},
    files::write_atomic,
    trainer::{Callback, LocalBoxFuture, TrainError, TrainState},
};

/// Every `interval` steps and at the end, writes the embedding and then the state for resuming;
/// each file is whole at every instant.
#[derive(Debug)]
pub struct Checkpoint {
    /// The state's file.
    pub state: PathBuf,
    /// The embedding's file, in diffusers' form.
    pub embedding: PathBuf,
    /// Stands for the concept in prompts.
    pub placeholder_token: String,
    /// Steps between two checkpoints.
    pub interval: usize,
}

impl Checkpoint {
    const NAME: &'static str = "checkpoint";

    fn write(&self, state: &TrainState) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let [num_vectors, dim] = state.shape;
        let token = self.placeholder_token.clone();
        let embedding = LearnedEmbedding::new(token, state.tensors[0].clone(), num_vectors, dim)?;
        // the state last: once it says that the run is over, the embedding is the final one
        write_atomic(&self.embedding, &embedding::write(&embedding))
            .map_err(|e| at(&self.embedding, e))?;
        write_atomic(&self.state, &state.to_bytes()?).map_err(|e| at(&self.state, e))?;
        Ok(())
    }
}

fn at(path: &std::path::Path, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

impl<M> Callback<M> for Checkpoint {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn wants_state(&self, step: usize, stop: Option<&StopReason>) -> bool {
        stop.is_some() || step.is_multiple_of(self.interval)
    }

    fn on_state<'a>(
        &'a mut self,
        state: &'a TrainState,
    ) -> LocalBoxFuture<'a, Result<(), TrainError>> {
        Box::pin(async move {
            self.write(state)
                .map_err(|source| TrainError::Callback { callback: Self::NAME.into(), source })
        })
    }
}
