//! Pictures of the concept's class, for prior preservation, drawn by the model itself.

use burn::tensor::Device;

use super::{Generator, SessionError};
use crate::{
    config::{MethodConfig, TrainConfig},
    data::image::Picture,
    pipelines::{BATCH, DrawProgress, ModelFolder, SamplingOptions},
};

/// What the method asks the class' pictures to show, and how many it wants; none for methods
/// without.
pub fn class_pictures(config: &TrainConfig) -> Option<(&str, usize)> {
    match &config.method {
        MethodConfig::CustomDiffusion { class_prompt, num_class_images, .. } => {
            Some((class_prompt, *num_class_images))
        }
        _ => None,
    }
}

/// Draws the pictures of these numbers, in rising order, and gives each to `keep`. A picture's seed
/// is its number, so that an interrupted drawing goes on with the same ones.
///
/// # Errors
///
/// [`SessionError`] if a file of the model is broken or the device fails, and what `keep` gives.
pub async fn draw_class<E: From<SessionError>>(
    config: &TrainConfig,
    model: &ModelFolder,
    device: &Device,
    numbers: &[usize],
    watch: Option<&dyn DrawProgress>,
    mut keep: impl FnMut(usize, &Picture) -> Result<(), E>,
) -> Result<(), E> {
    let Some((prompt, _)) = class_pictures(config) else { return Ok(()) };
    let generator = Generator::load(model, &[], None, device)?;
    let options = SamplingOptions {
        seed: config.seed,
        height: model.native_resolution(),
        width: model.native_resolution(),
        ..super::sampling_options(config, model)
    };
    for numbers in numbers.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(BATCH)) {
        let prompts = vec![prompt.to_string(); numbers.len()];
        let drawn = generator.draw(numbers[0], &prompts, None, &options, watch).await;
        for (number, picture) in numbers.iter().zip(drawn.map_err(SessionError::from)?) {
            keep(*number, &picture)?;
        }
    }
    Ok(())
}
