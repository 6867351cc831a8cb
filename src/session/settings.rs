//! A run's settings, and everything that can be checked of them before it costs anything.

use std::{ops::Range, path::Path};

use super::{SessionError, Start, Tokens, check_sampling, sampling_options};
use crate::{
    config::{Initializer, TrainConfig, TrainOptions},
    data::dataset::Dataset,
    embedding::LearnedEmbedding,
    eval::EvaluationDraws,
    fingerprint::Fingerprint,
    pipelines::ModelFolder,
};

/// What a model's makers advise: its `dvar.toml`, where there is one.
///
/// # Errors
///
/// [`SessionError`] if the file cannot be read or holds no options.
pub fn advice(model: &ModelFolder) -> Result<TrainOptions, SessionError> {
    const FILE: &str = "dvar.toml";
    let files = model.files();
    let Some(bytes) = files.read_optional(FILE).map_err(crate::pipelines::PipelineError::from)?
    else {
        return Ok(TrainOptions::default());
    };
    Ok(TrainOptions::from_toml(&String::from_utf8_lossy(&bytes), &files.display(FILE))?)
}

/// Options over the model's advice and the defaults, checked against the model.
#[derive(Debug)]
pub struct Settings {
    /// All options.
    pub options: TrainOptions,
    /// The same, with nothing left open.
    pub config: TrainConfig,
    /// The model, under the beta schedule and in the precision that the options name.
    pub model: ModelFolder,
}

/// The steps of the model's noise schedule that a run trains and evaluates on.
///
/// # Errors
///
/// [`SessionError::Unsuitable`] if the schedule ends before `max_timestep`, or there are none.
pub(super) fn timesteps(
    config: &TrainConfig,
    model: &ModelFolder,
) -> Result<Range<usize>, SessionError> {
    let steps = model.scheduler().noise_schedule().alphas_cumprod().len();
    let timesteps = config.min_timestep..config.max_timestep.unwrap_or(steps);
    if timesteps.is_empty() || timesteps.end > steps {
        return Err(SessionError::Unsuitable(format!(
            "`min_timestep` is {} and `max_timestep` {}; the first must be under the second, and that at most {steps}, the length of this model's noise schedule",
            timesteps.start, timesteps.end
        )));
    }
    Ok(timesteps)
}

/// What is known of a run before anything is loaded.
#[derive(Debug)]
pub struct Outlook {
    /// Height and width of the training pictures.
    pub size: usize,
    /// Where the vectors start; open where the vocabulary has to be searched first.
    pub start: Option<Start>,
    /// Vectors that the concept is made of.
    pub num_vectors: usize,
}

impl Settings {
    /// Lays the options over the model's advice and the defaults, and checks each for itself.
    ///
    /// # Errors
    ///
    /// [`SessionError`] names the first option that is missing or out of range.
    pub fn new(options: &TrainOptions, model: ModelFolder) -> Result<Self, SessionError> {
        let options = options.over(&advice(&model)?)?.with_defaults()?;
        let model = model.with_beta_schedule(options.beta_schedule)?;
        let config = TrainConfig::new(&options)?;
        let model = model.with_precision(config.mixed_precision.dtype());
        Ok(Self { options, config, model })
    }

    /// Checks the options against the model and each other. `read` reads the learned embedding that
    /// the vectors start from, where one is named.
    ///
    /// # Errors
    ///
    /// [`SessionError`] says what does not fit.
    pub fn check(
        &self,
        read: impl FnOnce(&Path) -> Result<LearnedEmbedding, SessionError>,
    ) -> Result<Outlook, SessionError> {
        let Self { config, model, .. } = self;
        check_sampling(&sampling_options(config, model), model)?;
        let start = match &config.initializer {
            Initializer::File(file) => Some(Start::Vectors(read(file)?)),
            _ => Start::from_tokenizer(config, &model.tokenizer()?)?,
        };
        // a search of the vocabulary ends in one token
        let tokens = start.clone().unwrap_or(Start::Tokens(vec![0]));
        let num_vectors = Tokens::new(config, model, tokens)?.num_vectors();
        self.check_evaluation()?;
        self.check_scores()?;
        let size = config.resolution.unwrap_or(model.native_resolution());
        Ok(Outlook { size, start, num_vectors })
    }

    /// `triple` has only a third of the schedule's time steps for each interval.
    fn check_evaluation(&self) -> Result<(), SessionError> {
        let config = &self.config;
        let steps = timesteps(config, &self.model)?.len();
        let inputs = config.eval_batch_size * config.eval_rounds;
        let most = EvaluationDraws::most_triple_inputs(steps);
        if config.triple && inputs > most {
            return Err(SessionError::Unsuitable(format!(
                "`triple` evaluates {inputs} inputs, but a third of the time steps trained on are {most}; lower `--eval-batch-size` or `--eval-gradient-accumulation-steps`"
            )));
        }
        Ok(())
    }

    /// Scores that decide need a scorer.
    fn check_scores(&self) -> Result<(), SessionError> {
        let Self { config, model, .. } = self;
        let searched = matches!(config.initializer, Initializer::Best | Initializer::Worst);
        if (config.stopping.scores() || searched) && config.clip.is_none() && !model.has_clip() {
            let what = match config.stopping.scores() {
                true => "this `--stopping` scores samples",
                false => "this `--init-strategy` scores the vocabulary",
            };
            return Err(SessionError::Unsuitable(format!(
                "{what} by CLIP, which {} does not bring; give a CLIP folder with `--clip`, such as openai/clip-vit-base-patch32",
                model.name()
            )));
        }
        Ok(())
    }
}

/// A number that stands for a run's options, as their configuration file, and its pictures: saved
/// states carry it, so that no other run goes on from them.
pub fn fingerprint<'a>(options: &str, pictures: impl IntoIterator<Item = &'a Dataset>) -> u64 {
    let pictures = pictures.into_iter().flat_map(Dataset::pictures);
    pictures.fold(Fingerprint::of(options.as_bytes()), |hash, p| hash.and(p.pixels())).0
}
