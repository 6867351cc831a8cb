//! The run's state and embedding, on disk.

use std::path::{Path, PathBuf};

use super::Saves;
use crate::{
    concept::{AdapterConfig, Concept, LearnedConcept},
    early_stopping::StopReason,
    embedding,
    files::write_atomic,
    trainer::{Callback, TrainError, TrainState},
};

/// Writes the concept and then the state for resuming, at the end too; each file is whole at every instant.
#[derive(Debug)]
pub struct Checkpoint {
    /// The state's file.
    pub state: PathBuf,
    /// The folder of the concept's files, in diffusers' form.
    pub folder: PathBuf,
    /// Stands for the concept in prompts.
    pub placeholder_token: String,
    /// What is trained beside the vectors.
    pub adapter: AdapterConfig,
    /// When there is one.
    pub saves: Saves,
}

impl Checkpoint {
    const NAME: &'static str = "checkpoint";

    fn write(&self, state: &TrainState) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let parameters = state.parameters.clone();
        let concept = LearnedConcept::new(&self.placeholder_token, self.adapter, parameters)?;
        // the state last: once it says that the run is over, the concept is the final one
        write_concept(&self.folder, &concept)?;
        write_atomic(&self.state, &state.to_bytes()?).map_err(|e| at(&self.state, e))?;
        Ok(())
    }
}

/// Writes `learned_embeds.safetensors` and, for methods that train the UNet, the adapter's file.
///
/// # Errors
///
/// If the folder cannot be written; the message names the file.
pub fn write_concept(
    folder: &Path,
    concept: &LearnedConcept,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Some(adapter) = &concept.adapter {
        let file = folder.join(adapter.file_name());
        write_atomic(&file, &adapter.to_bytes()?).map_err(|e| at(&file, e))?;
    }
    let file = folder.join(embedding::FILE_NAME);
    write_atomic(&file, &embedding::write(&concept.embedding)).map_err(|e| at(&file, e))?;
    Ok(())
}

fn at(path: &Path, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

impl Callback<Concept, TrainState> for Checkpoint {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn wants_state(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        self.saves.wants(steps, stop)
    }

    fn on_state(&mut self, state: &TrainState) -> Result<(), TrainError> {
        self.write(state).map_err(|error| TrainError::callback(Self::NAME, error))
    }
}
