//! A run's pictures drawn anew, by what it learned.

use burn::tensor::Device;
use dvar_models::product::allow_tf32;

use super::pictures::{Group, Pictures, by_prompt};
use crate::{
    cli::{bar::Bar, counted::counted, error::CliError, prompts::Words, run_folder::RunFolder},
    config::TrainConfig,
    data::templates::fill,
    pipelines::{ModelFolder, PipelineError},
    session::{Generator, sampling_options},
};

/// What is needed to draw a run's pictures anew.
pub(super) struct Drawing {
    pub config: TrainConfig,
    pub model: ModelFolder,
    pub run: RunFolder,
    /// The token that stands for `{}`.
    pub token: String,
    pub words: Words,
    pub negative_prompt: Option<String>,
    /// With `{}` where the concept stands, each as often as it is drawn.
    pub prompts: Vec<String>,
}

impl Drawing {
    /// Refuses a device that does not compute in the run's precision, which no flag of this command changes.
    pub(super) fn check_device(&self, device: &Device, name: &str) -> Result<(), CliError> {
        match self.model.check_precision(device, &format!("device `{name}`")) {
            Err(PipelineError::Precision { device, precision, .. }) => {
                Err(CliError::Input(format!(
                    "the run draws in {precision}, in which {device} does not compute; give another one \
                     with `--device`"
                )))
            }
            checked => Ok(checked?),
        }
    }

    pub(super) fn draw(&self, device: &Device) -> Result<Vec<Group>, CliError> {
        let Self { config, model, run, token, words, negative_prompt, prompts } = self;
        // as the run's own samples were, also where a LoRA enters the weights
        allow_tf32(config.tf32);
        let adapter = run.read_adapter()?;
        let generator = Generator::load(model, &words.embeddings, adapter.as_ref(), device)?;
        let options = sampling_options(config, model);

        eprintln!("drawing {}", counted(prompts.len(), "picture"));
        let filled: Vec<String> = prompts.iter().map(|prompt| fill(prompt, token)).collect();
        let (bar, negative) = (Bar::new("drawing"), negative_prompt.as_deref());
        bar.begin();
        let drawn = generator.draw(0, &filled, negative, &options, Some(&bar));
        let drawn = pollster::block_on(drawn)?;
        // not the scores, which are compared with those of saved pictures
        allow_tf32(false);
        let drawn = prompts.iter().map(|prompt| fill(prompt, "")).zip(drawn);
        let group = |(prompt, pictures)| Group {
            prompt: Some(prompt),
            pictures: Pictures::Drawn(pictures),
        };
        Ok(by_prompt(drawn).into_iter().map(group).collect())
    }
}
