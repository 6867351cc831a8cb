//! The sample grids of a run, before, on the way and after, and their score.

use crate::{
    concept::ConceptWeights,
    config::TrainConfig,
    data::{image::Picture, templates::fill},
    eval::{ClipScorer, Features, without_placeholder},
    objective::DiffusionObjective,
    pipelines::{DrawProgress, ModelFolder, PipelineError, SamplingOptions, TextToImage},
    trainer::LocalBoxFuture,
};

/// Draws the same prompts from the same seeds, whatever the concept.
pub struct Samples<'a> {
    /// Prompts and how they are drawn.
    pub config: &'a TrainConfig,
    /// Where the autoencoder is loaded from.
    pub model: &'a ModelFolder,
    /// The other networks.
    pub objective: &'a DiffusionObjective,
    /// Where there is a scorer: what it sees in the concept's pictures.
    pub scorer: Option<(&'a ClipScorer, Features)>,
    /// Told of each denoising step, if anyone is.
    pub watch: Option<&'a dyn DrawProgress>,
    /// Who draws them together with others, where they are shared out.
    pub painter: Option<&'a dyn Painter>,
}

/// Draws samples, some of them itself by [`Samples::picture`].
pub trait Painter {
    /// One picture for each of the samples' prompts.
    ///
    /// # Errors
    ///
    /// Those of [`Samples::picture`], and what ends the drawing.
    fn paint<'a>(
        &'a self,
        samples: &'a Samples<'a>,
        weights: &'a ConceptWeights,
        guidance: f64,
    ) -> LocalBoxFuture<'a, Result<Vec<Picture>, PipelineError>>;
}

/// Pictures and their mean CLIP-I score.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// One for each of the prompts.
    pub pictures: Vec<Picture>,
    /// None without a scorer.
    pub score: Option<f64>,
    /// The mean CLIP-T score, where it is asked for and there is a scorer.
    pub clip_t: Option<f64>,
}

impl Samples<'_> {
    /// The pictures and their score.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if the autoencoder's file is broken or the device fails.
    pub async fn draw(&self, weights: &ConceptWeights) -> Result<Drawn, PipelineError> {
        let pictures = self.generate(weights, self.config.guidance_scale).await?;
        let Some((scorer, references)) = &self.scorer else {
            return Ok(Drawn { pictures, score: None, clip_t: None });
        };
        let features = scorer.image_features(&pictures);
        let score = Some(references.mean_similarity(&features).await?);
        let clip_t =
            if self.config.clip_t { Some(self.clip_t(scorer, &features).await?) } else { None };
        Ok(Drawn { pictures, score, clip_t })
    }

    /// The pictures without guidance, not scored.
    ///
    /// # Errors
    ///
    /// Those of [`draw`](Self::draw).
    pub async fn draw_unscaled(&self, weights: &ConceptWeights) -> Result<Drawn, PipelineError> {
        Ok(Drawn { pictures: self.generate(weights, 1.0).await?, score: None, clip_t: None })
    }

    /// The mean likeness of each picture to its own prompt.
    async fn clip_t(&self, scorer: &ClipScorer, pictures: &Features) -> Result<f64, PipelineError> {
        let token = &self.config.placeholder_token;
        let prompts: Vec<String> =
            self.prompts().iter().map(|prompt| without_placeholder(prompt, token)).collect();
        let texts = scorer.text_features(&prompts);
        let scores = texts.paired_similarities(pictures).await?;
        Ok(scores.iter().sum::<f64>() / scores.len() as f64)
    }

    async fn generate(
        &self,
        weights: &ConceptWeights,
        guidance: f64,
    ) -> Result<Vec<Picture>, PipelineError> {
        match self.painter {
            Some(painter) => painter.paint(self, weights, guidance).await,
            None => self.pictures(0, &self.prompts(), weights, guidance, self.watch).await,
        }
    }

    /// The picture of one of the prompts, drawn alone, so that it is the same whoever draws it; none
    /// where there are fewer prompts.
    ///
    /// # Errors
    ///
    /// Those of [`draw`](Self::draw).
    pub async fn picture(
        &self,
        number: usize,
        weights: &ConceptWeights,
        guidance: f64,
        watch: Option<&dyn DrawProgress>,
    ) -> Result<Vec<Picture>, PipelineError> {
        let prompts: Vec<String> = self.prompts().into_iter().skip(number).take(1).collect();
        self.pictures(number, &prompts, weights, guidance, watch).await
    }

    /// The autoencoder is loaded for this and dropped again.
    async fn pictures(
        &self,
        first: usize,
        prompts: &[String],
        weights: &ConceptWeights,
        guidance: f64,
        watch: Option<&dyn DrawProgress>,
    ) -> Result<Vec<Picture>, PipelineError> {
        let (config, device) = (self.config, self.objective.device());
        let pipeline = TextToImage {
            encoder: &self.objective.encoder,
            unet: &weights.unet(&self.objective.unet),
            vae: &self.model.load_vae(&device)?,
            scheduler: self.model.scheduler(),
            watch,
        };
        let options = sampling_options(config, self.model);
        let options = SamplingOptions { guidance_scale: guidance, ..options };
        pipeline.generate(first, prompts, None, &weights.vectors, &options).await
    }

    /// What is drawn, in order.
    pub fn prompts(&self) -> Vec<String> {
        let token = &self.config.placeholder_token;
        self.config.validation_prompts.iter().map(|prompt| fill(prompt, token)).collect()
    }
}

/// How a run draws.
pub fn sampling_options(config: &TrainConfig, model: &ModelFolder) -> SamplingOptions {
    let size = config.resolution.unwrap_or(model.native_resolution());
    SamplingOptions {
        scheduler: config.scheduler.unwrap_or(model.scheduler().kind()),
        num_inference_steps: config.num_inference_steps,
        guidance_scale: config.guidance_scale,
        eta: config.eta,
        height: size,
        width: size,
        seed: config.sampling_seed,
    }
}
