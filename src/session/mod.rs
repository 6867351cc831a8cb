//! One training run, put together from its parts; native code and the browser share this.
//!
//! Three types lead from options to a run: [`CheckedOptions`], [`PreparedRun`], [`Session`]. [`run`]
//! is the sequence of a run; an [`Observer`] watches it.

mod best;
mod captions;
mod checked;
mod class_pictures;
mod error;
mod evaluation;
mod fall;
mod generator;
mod initial;
mod kept;
mod no_effect;
mod observer;
mod part;
mod prepared;
#[cfg(not(target_arch = "wasm32"))]
mod replicas;
mod run;
mod samples;
mod search;
mod trial;

use burn::tensor::{Device, Tensor, TensorData};
use captions::Captions;
use dvar_models::{product::allow_tf32, vae::AutoencoderKl};

pub use best::Best;
pub use checked::{CheckedOptions, advice, begun_with, fingerprint};
pub use class_pictures::{class_pictures, draw_class};
pub use error::{SessionError, is_given, option_of, sentence, sources};
pub use fall::Fall;
pub use generator::{Generator, check_sampling, tokenizers_with};
pub use initial::{InitialVectors, Rank, Start, Tokens, WORDS};
pub use kept::{ModelMark, knows_samples_before};
pub use observer::{Moment, Observer, Phase, Shown};
pub use prepared::PreparedRun;
#[cfg(not(target_arch = "wasm32"))]
pub use replicas::{DeviceReplicas, NamedDevice};
pub use run::{Cause, Outcome, RunError, run};
pub use samples::{Drawn, Painter, Samples, sampling_options};
pub use search::{RankedWords, WordSearch};
pub use trial::TriedWords;

use crate::{
    concept::Concept,
    config::{MethodConfig, TrainConfig},
    data::{dataset::Dataset, image::Picture},
    embedding::{self, LearnedEmbedding},
    eval::{EvaluationDraws, FixedBatches},
    objective::{
        CAPTION_PREFIXES, DiffusionObjective, DrawRanges, LatentCache, PriorPreservation,
        RescaledPictures, SeededDraws,
    },
    pipelines::{EmbeddingWidths, ModelFolder},
    trainer::Trainer,
};

/// The frozen networks, the data and the draws of one run.
#[derive(Debug)]
pub struct Session {
    /// Captions, pictures and networks.
    pub objective: DiffusionObjective,
    /// The random numbers of the training steps.
    pub draws: SeededDraws,
    /// The random numbers of the evaluations.
    pub evaluation_draws: EvaluationDraws,
    /// Where the concept's vectors start.
    pub initial: LearnedEmbedding,
    evaluation: FixedBatches,
}

impl Session {
    /// Loads the networks and prepares the data. The autoencoder is dropped once the pictures'
    /// latents are known, but for methods that rescale the pictures at each step. `class` are the
    /// pictures of the class, for methods with prior preservation.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if a weight file is broken or the device fails.
    pub async fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        tokens: Tokens,
        dataset: &Dataset,
        class: Option<&Dataset>,
        device: &Device,
    ) -> Result<Self, SessionError> {
        allow_tf32(config.tf32);
        let Tokens { tokenizers, initial } = tokens;
        let num_vectors = tokenizers.num_vectors();
        let encoder = model.load_prompt_encoder(tokenizers, device)?;
        let vae = model.load_vae(device)?;
        for ([width, height], _) in dataset.sizes() {
            model.check_size(width, height)?;
        }
        let latents = |dataset: &Dataset| latents_of(dataset, &vae, device);
        let captions = Captions::new(config, dataset, encoder.tokenizers())?;
        let noise_schedule = model.scheduler().noise_schedule().clone();
        let unet = if config.gradient_checkpointing {
            model.load_unet(device)?.with_gradient_checkpointing()
        } else {
            model.load_unet(device)?
        };
        let mut objective =
            DiffusionObjective::new(encoder, unet, noise_schedule, latents(dataset), captions.ids);
        objective.captions_of_pictures = captions.of_pictures;
        objective.masks = dataset.masks(vae.downscale);
        if let (
            MethodConfig::CustomDiffusion { class_prompt, prior_loss_weight, .. },
            Some(class),
        ) = (&config.method, class)
        {
            objective.prior = Some(PriorPreservation {
                latents: latents(class),
                caption: objective.encoder.tokenizers().encode_caption(class_prompt),
                weight: *prior_loss_weight,
            });
            objective.unet = objective.unet.with_first_token_detached();
            let (pictures, round) = (dataset.pictures().to_vec(), dataset.round().to_vec());
            let size = pictures.first().map_or(0, Picture::width);
            objective.rescaled = Some(RescaledPictures { vae, pictures, round, size });
        }
        let (token, widths) = (&config.placeholder_token, model.embedding_widths());
        let tables = objective.encoder.token_tables();
        let initial = starting_vectors(token, initial, &tables, widths, num_vectors).await?;
        let ranges = draw_ranges(config, model, &objective)?;
        let class_pictures = objective.prior.as_ref().map_or(0, |prior| prior.latents.pictures());
        let draws =
            SeededDraws::new(ranges, config.train_batch_size, config.pairing, class_pictures);
        let all: Vec<usize> = (0..ranges.pictures).collect();
        let draws = draws.with_sizes(objective.latents.by_size(&all));
        let evaluation_draws = evaluation_draws(config, ranges);
        let evaluation =
            FixedBatches::new(evaluation_draws.clone(), config.triple, config.each_input);
        Ok(Self { objective, draws, initial, evaluation_draws, evaluation })
    }

    /// The concept at its start.
    pub fn concept(&self, config: &TrainConfig) -> Concept {
        let mut concept = Concept::new(&self.initial, &self.objective.device());
        if let Some(trained) = config.text_encoders.only() {
            concept = concept.with_one_text_encoder(trained);
        }
        if config.preserve_embedding_norm {
            concept = concept.with_preserved_norm();
        }
        concept.with_adapter(config.method.adapter(), &self.objective.unet, config.seed)
    }

    /// The trainer at its start.
    pub fn trainer(&self, config: &TrainConfig) -> Trainer<'_> {
        let concept = self.concept(config);
        Trainer::new(config.trainer.clone(), &self.objective, &self.draws, concept)
    }
}

/// The concept's vectors before the first step.
async fn starting_vectors(
    token: &str,
    initial: InitialVectors,
    tables: &[Tensor<2>],
    widths: EmbeddingWidths,
    num_vectors: usize,
) -> Result<LearnedEmbedding, SessionError> {
    Ok(match initial {
        InitialVectors::Tokens(ids) => {
            embedding::init::from_tokens(token, tables, widths, &ids, num_vectors).await?
        }
        InitialVectors::Learned(vectors) => {
            embedding::init::from_vectors(token, &vectors, widths, num_vectors)?
        }
    })
}

/// The latents of a data set's pictures.
fn latents_of(dataset: &Dataset, vae: &AutoencoderKl, device: &Device) -> LatentCache {
    let pixels = |picture: &Picture| {
        TensorData::new(picture.to_pixel_values(), [1, 3, picture.height(), picture.width()])
    };
    // one after the other: as floats, all of them may take more memory than the networks
    let cache = LatentCache::new(vae, dataset.pictures().iter().map(pixels), device);
    cache.with_time_ids(dataset.time_ids().to_vec()).in_rounds_of(dataset.round())
}

/// What the random numbers of a step choose from.
fn draw_ranges(
    config: &TrainConfig,
    model: &ModelFolder,
    objective: &DiffusionObjective,
) -> Result<DrawRanges, SessionError> {
    let rescaled_size = objective.rescaled.as_ref().map(|rescaled| rescaled.size);
    let (pictures, captions) = (objective.latents.pictures(), objective.templates.len());
    let timesteps = checked::timesteps(config, model)?;
    Ok(DrawRanges {
        seed: config.seed,
        pictures,
        // those that one picture can have
        templates: match rescaled_size {
            Some(_) => captions / CAPTION_PREFIXES.len(),
            None if objective.captions_of_pictures => captions / pictures,
            None => captions,
        },
        latent_size: objective.latents.most_values(),
        min_timestep: timesteps.start,
        max_timestep: timesteps.end,
        flip: config.flip,
        rescaled_size,
    })
}

fn evaluation_draws(config: &TrainConfig, ranges: DrawRanges) -> EvaluationDraws {
    EvaluationDraws {
        ranges,
        batch_size: config.eval_batch_size,
        accumulation_steps: config.eval_rounds,
        switches: config.switches,
        mean_latent: config.mean_latent,
        mean_noise: config.mean_noise,
    }
}
