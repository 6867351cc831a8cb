//! The keys of a `scheduler_config.json`, and the noise of training that they describe.

use std::collections::BTreeMap;

use dvar_models::read_json;
use serde::Deserialize;
use serde_json::Value;

use super::{
    beta_schedule::BetaSchedule, error::SchedulerError, noise_schedule::NoiseSchedule,
    prediction::PredictionType, timesteps::TimestepSpacing,
};

/// More would be a slip of the pen, and is kept from filling the memory.
const MAX_TRAIN_TIMESTEPS: usize = 1_000_000;

/// Whether no signal is left at the last timestep.
pub(super) const ZERO_SNR: &str = "rescale_betas_zero_snr";

/// What every sampler reads by its type, and all else by name.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Keys {
    #[serde(rename = "_class_name")]
    pub class_name: String,
    num_train_timesteps: Option<usize>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    beta_schedule: Option<BetaSchedule>,
    trained_betas: Option<Vec<f64>>,
    prediction_type: Option<PredictionType>,
    pub timestep_spacing: Option<TimestepSpacing>,
    pub steps_offset: Option<usize>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl Keys {
    /// Reads the text of a `scheduler_config.json`.
    ///
    /// # Errors
    /// When it is no JSON, or one of the keys that every sampler reads is of the wrong type.
    pub(super) fn from_json(text: &str) -> Result<Self, SchedulerError> {
        // Python writes an infinity that JSON does not have, for `lambda_min_clipped`.
        let text = text.replace(": -Infinity", ": null");
        read_json(text.as_bytes()).map_err(SchedulerError::Json)
    }

    /// Whether it says where the betas begin and end.
    pub(super) fn names_betas(&self) -> bool {
        self.beta_start.is_some() && self.beta_end.is_some()
    }

    /// The same with betas of another shape between the same ends.
    pub(super) fn with_beta_schedule(&self, beta_schedule: BetaSchedule) -> Self {
        Self { beta_schedule: Some(beta_schedule), trained_betas: None, ..self.clone() }
    }

    /// The same for a model that predicts something else.
    pub(super) fn with_prediction_type(&self, prediction_type: PredictionType) -> Self {
        Self { prediction_type: Some(prediction_type), ..self.clone() }
    }

    /// The same with another first timestep and without clipping.
    pub(super) fn corrected(&self) -> Self {
        let mut keys = Self { steps_offset: Some(1), ..self.clone() };
        keys.others.insert("clip_sample".into(), Value::Bool(false));
        keys
    }

    /// What the key of one sampler holds, unless it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.others.get(key).filter(|value| !value.is_null())
    }

    /// The same of a key that is `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// The noise of training.
    ///
    /// # Errors
    /// When the numbers make none.
    pub(super) fn noise_schedule(&self) -> Result<NoiseSchedule, SchedulerError> {
        let prediction_type = self.prediction_type.unwrap_or_default();
        let zero_snr = self.flag(ZERO_SNR) == Some(true);
        if zero_snr && prediction_type == PredictionType::Epsilon {
            let expected = "`false` for a model that predicts the noise: the last latents would be \
                            nothing else";
            return Err(SchedulerError::value(ZERO_SNR, true, expected));
        }
        let train = self.num_train_timesteps.unwrap_or(1000);
        if !(1..=MAX_TRAIN_TIMESTEPS).contains(&train) {
            let expected = format!("from 1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(SchedulerError::value("num_train_timesteps", train, &expected));
        }
        let (start, end) = (self.beta_start.unwrap_or(0.0001), self.beta_end.unwrap_or(0.02));
        for (key, beta) in [("beta_start", start), ("beta_end", end)] {
            check_beta(key, beta)?;
        }
        let betas = match &self.trained_betas {
            Some(betas) if betas.len() != train => {
                let found = format!("a list of {}", betas.len());
                let expected = format!("a list of `num_train_timesteps`, {train}, values");
                return Err(SchedulerError::value("trained_betas", found, &expected));
            }
            Some(betas) => {
                betas.iter().try_for_each(|beta| check_beta("trained_betas", *beta))?;
                betas.iter().map(|beta| *beta as f32).collect()
            }
            None => self.beta_schedule.unwrap_or(BetaSchedule::Linear).betas(start, end, train),
        };
        let mut schedule = NoiseSchedule::new(&betas, prediction_type);
        if zero_snr {
            schedule = schedule.with_zero_terminal_snr();
        }
        // The steps divide by the noise and, but for such models, by the signal.
        let least = if zero_snr { 0.0 } else { f32::MIN_POSITIVE };
        if !(schedule.alphas_cumprod()[0] < 1.0 && schedule.alphas_cumprod()[train - 1] >= least) {
            let found = format!("{start} with `beta_end` {end}");
            let expected = "such that some noise is in the first latents and some signal is left \
                            in the last";
            return Err(SchedulerError::value("beta_start", found, expected));
        }
        Ok(schedule)
    }
}

fn check_beta(key: &'static str, beta: f64) -> Result<(), SchedulerError> {
    if beta > 0.0 && beta < 1.0 {
        return Ok(());
    }
    Err(SchedulerError::value(key, beta, "between 0 and 1"))
}
