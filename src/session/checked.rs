//! A run's options, and everything that can be checked of them before it costs anything.

use std::{ops::Range, path::Path};

use super::{
    InitialVectors, SessionError, Start, Tokens, WORDS, captions::Captions, check_sampling,
    sampling_options,
};
use crate::{
    concept::Method,
    config::{
        ConfigError, InitStrategy, Initializer, MethodOptions, TextEncoders, TrainConfig,
        TrainOptions,
    },
    data::dataset::Dataset,
    embedding::LearnedEmbedding,
    eval::EvaluationDraws,
    fingerprint::Fingerprint,
    optim::LrShape,
    pipelines::{ModelFolder, PipelineError},
};

/// What Custom Diffusion's concept is one of, if the model has one token for it. Among all words that of
/// the lowest loss may be far from it: next to the class in each caption, it drew no crab but a tent.
fn class_word(options: &TrainOptions, model: &ModelFolder) -> Result<Option<String>, SessionError> {
    let MethodOptions { method: Some(Method::CustomDiffusion), class_prompt: Some(class), .. } =
        &options.method
    else {
        return Ok(None);
    };
    let known = model.tokenizers()?.each().iter().all(|read| read.word_id(class).is_ok());
    Ok(known.then(|| class.clone()))
}

/// What a model's makers advise for a run of which these options are `chosen`: its `dvar.toml`, where there
/// is one. A table there that is named after a method, such as `[dreambooth-lora]`, or after a criterion,
/// such as `[plateau]`, holds what is different for it.
///
/// # Errors
///
/// [`SessionError`] if the file cannot be read or holds no options.
pub fn advice(model: &ModelFolder, chosen: &TrainOptions) -> Result<TrainOptions, SessionError> {
    const FILE: &str = "dvar.toml";
    let files = model.files();
    let Some(bytes) = files.read_optional(FILE).map_err(PipelineError::from)? else {
        return Ok(TrainOptions::default());
    };
    Ok(TrainOptions::from_advice(&String::from_utf8_lossy(&bytes), chosen, &files.display(FILE))?)
}

/// Options over the model's advice and the defaults, each checked for itself.
#[derive(Clone, Debug)]
pub struct CheckedOptions {
    /// All options.
    pub options: TrainOptions,
    /// The same, with nothing left open.
    pub config: TrainConfig,
    /// The model, under the beta schedule and in the precision that the options name.
    pub model: ModelFolder,
}

impl CheckedOptions {
    /// Lays the options over the model's advice and the defaults, and checks each for itself. Where
    /// nothing says where the vectors start and the model names its words, they start from the class'
    /// if there is one and it is a word, else from the word of the lowest loss.
    ///
    /// # Errors
    ///
    /// [`SessionError`] names the first option that is missing or out of range.
    pub fn new(options: &TrainOptions, model: ModelFolder) -> Result<Self, SessionError> {
        let mut options = options.over(&advice(&model, options)?)?.with_defaults()?;
        if options.start.is_open() && model.files().has(WORDS) {
            match class_word(&options, &model)? {
                Some(word) => options.start.initializer_token = Some(word),
                None => options.start.init_strategy = Some(InitStrategy::LowestLoss),
            }
        }
        let model = model.with_beta_schedule(options.training.beta_schedule)?;
        let model = model.with_prediction_type(options.training.prediction_type)?;
        let config = TrainConfig::new(&options)?;
        let model = model.with_precision(config.mixed_precision.dtype());
        let mut checked = Self { options, config, model };
        checked.config.reading.multiple = checked.model.side_multiple(checked.size());
        Ok(checked)
    }

    /// Height and width of the training pictures, where they are square; the root of their area else.
    pub fn size(&self) -> usize {
        self.config.resolution.unwrap_or(self.model.native_resolution())
    }

    /// Whether there is a CLIP that scores: the user's, or one that the model brings.
    pub(super) fn has_scorer(&self) -> bool {
        self.config.clip.is_some() || self.model.has_clip()
    }

    /// Checks the options against the model and each other, and says where the vectors start.
    /// `read` reads the learned embedding that they start from, where one is named.
    ///
    /// # Errors
    ///
    /// [`SessionError`] says what does not fit; and what `read` gives.
    pub fn start<E: From<SessionError>>(
        &self,
        read: impl FnOnce(&Path) -> Result<LearnedEmbedding, E>,
    ) -> Result<Start, E> {
        let Self { config, model, .. } = self;
        check_sampling(&sampling_options(config, model), model)?;
        let start = Start::new(config, model, read)?;
        // chance and a search of the vocabulary end in one token
        let initial = match &start {
            Start::Known(initial) => initial.clone(),
            Start::Drawn(..) | Start::Searched(_) | Start::Tried(_) => {
                InitialVectors::first_token(model)
            }
        };
        Tokens::new(config, model, initial)?;
        self.check_text_encoders()?;
        self.check_evaluation()?;
        self.check_scores()?;
        Ok(start)
    }

    /// Checks the run's pictures and their captions.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if a picture has a side that the model does not take, or if a caption does not
    /// name the concept or has no room for all its vectors.
    pub fn check_pictures(&self, start: &Start, dataset: &Dataset) -> Result<(), SessionError> {
        for ([width, height], _) in dataset.sizes() {
            self.model.check_size(width, height)?;
        }
        let mut tokenizers = self.model.tokenizers()?;
        let (token, count) = (&self.config.placeholder_token, start.num_vectors(&self.config));
        tokenizers.add_placeholder(token, count)?;
        Captions::new(&self.config, dataset, &tokenizers).map(|_| ())
    }

    /// A model with one text encoder has no choice.
    fn check_text_encoders(&self) -> Result<(), SessionError> {
        let found = self.model.embedding_widths().0.len();
        if found > 1 || self.config.text_encoders == TextEncoders::Both {
            return Ok(());
        }
        Err(SessionError::TextEncoders { model: self.model.name().into() })
    }

    /// `triple` has only a third of the schedule's time steps for each interval.
    fn check_evaluation(&self) -> Result<(), SessionError> {
        let config = &self.config;
        let steps = timesteps(config, &self.model)?.len();
        let inputs = config.eval_inputs();
        let most = EvaluationDraws::most_triple_inputs(steps);
        if config.triple && inputs > most {
            return Err(SessionError::TooManyInputs { inputs, most });
        }
        Ok(())
    }

    /// Scores that decide need a scorer.
    fn check_scores(&self) -> Result<(), SessionError> {
        let Self { config, model, .. } = self;
        let searched = matches!(config.initializer, Initializer::Best | Initializer::Worst);
        let (option, what) = if config.stopping.scores() {
            ("stopping", "samples")
        } else if searched {
            ("init_strategy", "the vocabulary")
        } else {
            return Ok(());
        };
        if self.has_scorer() {
            return Ok(());
        }
        Err(SessionError::NoScorer { option, what, model: model.name().into() })
    }
}

/// The steps of the model's noise schedule that a run trains and evaluates on.
///
/// # Errors
///
/// [`SessionError::Timesteps`] if the schedule ends before `max_timestep`, or there are none.
pub(super) fn timesteps(
    config: &TrainConfig,
    model: &ModelFolder,
) -> Result<Range<usize>, SessionError> {
    let steps = model.scheduler().noise_schedule().alphas_cumprod().len();
    let timesteps = config.min_timestep..config.max_timestep.unwrap_or(steps);
    if timesteps.is_empty() || timesteps.end > steps {
        let (min, max) = (timesteps.start, timesteps.end);
        return Err(SessionError::Timesteps { min, max, steps });
    }
    Ok(timesteps)
}

/// What a run that goes on must have been begun with, as the text of a configuration file: all its
/// options but from which step on it may end, and how long it is, where the learning rate does not depend
/// on that.
///
/// # Errors
///
/// Those of [`TrainOptions::to_toml`].
pub fn begun_with(options: &TrainOptions) -> Result<String, ConfigError> {
    let mut options = options.clone();
    options.training.min_train_steps = None;
    if !options.optimizer.lr_scheduler.is_some_and(LrShape::follows_length) {
        options.training.max_train_steps = None;
    }
    options.to_toml()
}

/// A number that stands for the options that a run was begun with and for its pictures, with their
/// captions and masks: saved states carry it, so that no other run goes on from them.
pub fn fingerprint<'a>(options: &str, pictures: impl IntoIterator<Item = &'a Dataset>) -> u64 {
    let mut hash = Fingerprint::of(options.as_bytes());
    for dataset in pictures {
        let round = || dataset.round().iter();
        hash = round().fold(hash, |hash, i| hash.and(dataset.pictures()[*i].pixels()));
        let captions = round().filter_map(|i| dataset.captions()[*i].as_ref());
        // each with an end that no text holds: words do not move from one to the next unseen
        hash = captions.fold(hash, |hash, caption| hash.and(caption.as_bytes()).and(&[0xff]));
        let masks = round().filter_map(|i| dataset.mask_pictures()[*i].as_ref());
        hash = masks.fold(hash, |hash, mask| hash.and(mask.pixels()));
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{png::encode_png, reading::Reading};

    /// Two pictures with texts beside them, read with these or without.
    fn dataset(texts: [&str; 2], captions: bool) -> Dataset {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in ["a", "b"].into_iter().zip(texts) {
            let file = folder.path().join(name);
            let png = encode_png(64, 64, &[7; 64 * 64 * 3]).unwrap();
            fs::write(file.with_extension("png"), png).unwrap();
            fs::write(file.with_extension("txt"), text).unwrap();
        }
        let reading = Reading { captions, ..Reading::default() };
        Dataset::from_folder(folder.path(), 64, reading).unwrap()
    }

    #[test]
    fn captions_stand_each_for_itself_in_the_fingerprint_and_only_where_they_are_read() {
        let of = |texts, captions| fingerprint("", [&dataset(texts, captions)]);
        assert_eq!(of(["ab", "c"], true), of(["ab", "c"], true));
        assert_ne!(of(["ab", "c"], true), of(["a", "bc"], true));
        // as dvar 0.1.0 made it, which knew no captions
        let pixels = [7; 2 * 64 * 64 * 3];
        assert_eq!(of(["ab", "c"], false), Fingerprint::of(&pixels).0);
    }
}
