//! Why a run could not be set up.

use std::error::Error;

use dvar_models::{ModelError, tokenizer::TokenizerError};

use crate::{
    concept::AdapterError,
    config::ConfigError,
    data::DataError,
    early_stopping::CriterionError,
    embedding::EmbeddingError,
    pipelines::{EmbeddingWidths, PipelineError},
    schedulers::SchedulerError,
    trainer::TrainError,
};

/// Why a run could not be set up, or its pictures not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The model or the tokens.
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    /// The initial vectors, or learned ones.
    #[error("{0}")]
    Embedding(#[from] EmbeddingError),
    /// What a learned concept changes in the denoiser.
    #[error("{0}")]
    Adapter(#[from] AdapterError),
    /// An option by itself.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A number that makes no sense.
    #[error("`{option}` is {value}; it must be {expected}")]
    OutOfRange {
        /// The option, by its name in a configuration file.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The concept is to have fewer vectors than it starts from.
    #[error("the vectors start from {given}, but `num_vectors` allows {allowed}")]
    TooManyVectors {
        /// Tokens or vectors of the start.
        given: usize,
        /// Vectors of the concept.
        allowed: usize,
    },
    /// A caption would lose vectors at its end.
    #[error(
        "the text encoder reads only {room} of the {wanted} vectors of the concept in the caption \
         `{caption}`; move its word towards the beginning, or lower `num_vectors`"
    )]
    NoRoomForVectors {
        /// Vectors of the concept.
        wanted: usize,
        /// How many of them the text encoder would read.
        room: usize,
        /// The caption.
        caption: String,
    },
    /// A caption that would teach the concept nothing.
    #[error(
        "the caption `{caption}` does not name the concept; write `{{}}` or its word into it, or give \
         `caption_template` as `{{}}, [caption]`"
    )]
    CaptionWithoutConcept {
        /// The caption.
        caption: String,
    },
    /// A text beside a picture cannot be a caption.
    #[error("`{picture}`: {source}")]
    OfPicture {
        /// The picture's name.
        picture: String,
        /// What is wrong with its caption.
        source: Box<SessionError>,
    },
    /// The learned embedding to start from is of another model.
    #[error("`initializer_file` holds vectors {widths} wide, the text encoder takes {expected}")]
    InitialWidth {
        /// The file's widths.
        widths: EmbeddingWidths,
        /// The model's widths.
        expected: EmbeddingWidths,
    },
    /// `triple` has only a third of the schedule's time steps for each interval.
    #[error(
        "`triple` evaluates {inputs} inputs, but a third of the time steps trained on are {most}; \
         lower `eval_batch_size` or `eval_gradient_accumulation_steps`"
    )]
    TooManyInputs {
        /// Inputs of an evaluation.
        inputs: usize,
        /// As many as there may be.
        most: usize,
    },
    /// There are no time steps between the two options, or the schedule is shorter.
    #[error(
        "`min_timestep` is {min} and `max_timestep` {max}; the first must be under the second, and \
         that at most {steps}, the length of this model's noise schedule"
    )]
    Timesteps {
        /// First time step.
        min: usize,
        /// The one after the last.
        max: usize,
        /// Steps of the schedule.
        steps: usize,
    },
    /// The model has no second text encoder to choose from.
    #[error("`text_encoders` chooses one of several, and {model} has one; leave it out")]
    TextEncoders {
        /// The model's name.
        model: String,
    },
    /// Something is to be scored by CLIP, and nothing brings a CLIP model.
    #[error("`{option}` scores {what} by CLIP, which {model} does not bring")]
    NoScorer {
        /// The option that asks for scores.
        option: &'static str,
        /// What is scored.
        what: &'static str,
        /// The model's name.
        model: String,
    },
    /// The best or the worst word of a vocabulary without words.
    #[error("the model's vocabulary has no whole words; give a word to start from")]
    NoWords,
    /// The vocabulary is too large for its loss to be tried word by word.
    #[error(
        "the model has {words} words, too many to try the loss of each (at most {most}); give a word \
         to start from, or a `words.txt` in the model's folder with those to try"
    )]
    TooManyWords {
        /// Words of the vocabulary.
        words: usize,
        /// As many as are tried.
        most: usize,
    },
}

impl SessionError {
    /// The option that is to be changed, by its name in a configuration file, where it is one.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Pipeline(error) => pipeline_option(error),
            Self::Config(error) => error.option(),
            Self::OutOfRange { option, .. } => Some(option),
            Self::TooManyVectors { .. } | Self::NoRoomForVectors { .. } => Some("num_vectors"),
            Self::InitialWidth { .. } => Some("initializer_file"),
            Self::CaptionWithoutConcept { .. } => Some("caption_template"),
            Self::OfPicture { source, .. } => source.option(),
            Self::TooManyInputs { .. } => Some("eval_batch_size"),
            Self::Timesteps { min, steps, .. } if min >= steps => Some("min_timestep"),
            Self::Timesteps { .. } => Some("max_timestep"),
            Self::NoScorer { .. } => Some("clip"),
            Self::TextEncoders { .. } => Some("text_encoders"),
            Self::NoWords | Self::TooManyWords { .. } => Some("initializer_token"),
            Self::Embedding(_) | Self::Adapter(_) => None,
        }
    }
}

impl From<TokenizerError> for SessionError {
    fn from(error: TokenizerError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// The option that a refused token or sampler comes from.
fn pipeline_option(error: &PipelineError) -> Option<&'static str> {
    match error {
        PipelineError::Tokenizer(error) => match error {
            TokenizerError::PlaceholderForm(_)
            | TokenizerError::PlaceholderTaken { .. }
            | TokenizerError::PlaceholderSplits { .. } => Some("placeholder_token"),
            TokenizerError::PlaceholderVectors { .. } => Some("num_vectors"),
            TokenizerError::Initializer { .. } => Some("initializer_token"),
            _ => None,
        },
        PipelineError::Scheduler(SchedulerError::Steps { .. }) => Some("num_inference_steps"),
        PipelineError::Precision { .. } => Some("mixed_precision"),
        _ => None,
    }
}

/// The option that an error names, or one of its sources: by its name in a configuration file.
pub fn option_of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    sources(error).find_map(|error| {
        let session = error.downcast_ref::<SessionError>().and_then(SessionError::option);
        let config = || error.downcast_ref::<ConfigError>().and_then(ConfigError::option);
        let criterion = || error.downcast_ref::<CriterionError>().and_then(CriterionError::option);
        let train = || error.downcast_ref::<TrainError>().and_then(TrainError::option);
        let data = || error.downcast_ref::<DataError>().and_then(DataError::option);
        let pipeline = || error.downcast_ref::<PipelineError>().and_then(pipeline_option);
        session.or_else(config).or_else(criterion).or_else(train).or_else(data).or_else(pipeline)
    })
}

/// Whether an error, apart from those that it comes from, is about what was given: options, pictures,
/// models, learned files.
pub fn is_given(error: &(dyn Error + 'static)) -> bool {
    error.is::<SessionError>()
        || error.is::<ConfigError>()
        || error.is::<DataError>()
        || error.is::<PipelineError>()
        || error.is::<ModelError>()
        || error.is::<TokenizerError>()
        || error.is::<SchedulerError>()
        || error.is::<EmbeddingError>()
        || error.is::<AdapterError>()
        || matches!(error.downcast_ref(), Some(TrainError::State(_)))
}

/// The error's sentence, with what it comes from where the sentence does not say it.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    for source in sources(error).skip(1).map(ToString::to_string) {
        let source = source.trim_end(); // TOML's parser ends its report with a new line
        if !said.contains(source) {
            said = format!("{said}: {source}");
        }
    }
    said
}

/// An error and what it comes from, the cause last.
pub fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_found_below_other_errors() {
        let window = CriterionError::Window { window: 1 };
        assert_eq!(option_of(&SessionError::from(ConfigError::from(window))), Some("window"));
        let placeholder = TokenizerError::PlaceholderForm("<my cat>".into());
        assert_eq!(option_of(&SessionError::from(placeholder)), Some("placeholder_token"));
        let threshold = CriterionError::Threshold { threshold: 2.0 };
        let callback = TrainError::callback("dvar", TrainError::from(threshold));
        assert_eq!(option_of(&callback), Some("threshold"));
        assert_eq!(option_of(&DataError::Empty { name: "a".into() }), None);
    }
}
